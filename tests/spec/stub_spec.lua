-- stub_spec.lua: the file that editors learn the module from (bindings/lua/library/saros.lua) has each function and each
-- method that the module has, and no other.

local saros = require "saros"

require("support.leaks")(before_each, after_each)

local stub = require "support.stub"

local root = debug.getinfo(1, "S").source:match("^@(.*)tests[/\\]spec[/\\]") or ""
local found, text = stub.read(root)

local function public(set)
   local names = {}
   for name, value in pairs(set) do
      if type(name) == "string" and type(value) == "function" and not name:match("^_") then names[name] = true end
   end
   return names
end

-- What the module loads at first use, as module.c lists it.
local function lazy_names()
   local file <close> = assert(io.open(root .. "bindings/lua/module.c"))
   local list = file:read("a"):match("parts%[%] = (%b{});")
   local names = {}
   for name in list:gmatch('{"([%w_]+)",') do names[#names + 1] = name end
   assert(#names > 0)
   return names
end

-- The types with methods, by name: those of the C side are known to Lua's registry, those written in Lua by an object.
local function types()
   for _, name in ipairs(lazy_names()) do local _ = saros[name] end -- what is loaded at first use is loaded
   local list = {}
   for _, meta in pairs(debug.getregistry()) do
      local name = type(meta) == "table" and rawget(meta, "__name")
      if type(name) == "string" and name:match("^saros%.") then list[name] = meta end
   end
   local server = assert(saros.serve("127.0.0.1:0", print))
   list["saros.server"] = debug.getmetatable(server)
   list["saros.process"] = saros.process._Process
   server:shutdown(0)
   list["saros.pool"] = saros._pool
   local udp <close> = assert(saros.udp("127.0.0.1:0"))
   list["saros.udp"] = debug.getmetatable(udp)
   return list
end

-- Both ways at once: names that are only on one side, with the side.
local function compare(theirs, ours)
   local wrong = {}
   for name in pairs(theirs) do
      if not ours[name] then wrong[#wrong + 1] = name .. " is missing in the stub" end
   end
   for name in pairs(ours) do
      if not theirs[name] then wrong[#wrong + 1] = name .. " is only in the stub" end
   end
   table.sort(wrong)
   return table.concat(wrong, "\n")
end

describe("the stub for editors", function()
   it("is Lua, and gives a table with the functions that it declares", function()
      local module = assert(load(text, "=library/saros.lua", "t", {}))()
      assert.are.equal("", compare(public(module), found.classes["saroslib"]))
   end)

   it("describes each function in a line, and each parameter", function()
      assert.are.equal("", table.concat(found.problems, "\n"))
   end)

   it("has the functions of the module, and no other", function()
      for _, name in ipairs(lazy_names()) do assert.is_truthy(saros[name], name) end
      for name in pairs(found.classes["saroslib"]) do local _ = saros[name] end
      assert.are.equal("", compare(public(saros), found.classes["saroslib"]))
   end)

   it("has the functions of saros.sim, and no other", function()
      assert.are.equal("", compare(public(saros.sim), found.classes["saros.simlib"]))
   end)

   it("has the functions of saros.tls, and no other", function()
      assert.are.equal("", compare(public(saros.tls), found.classes["saros.tlslib"]))
   end)

   it("has the functions of saros.signal, and no other", function()
      assert.are.equal("", compare(public(saros.signal), found.classes["saros.signallib"]))
   end)

   it("has the functions of saros.fs, and no other", function()
      assert.are.equal("", compare(public(saros.fs), found.classes["saros.fslib"]))
   end)

   it("has the functions of saros.process, and no other", function()
      assert.are.equal("", compare(public(saros.process), found.classes["saros.processlib"]))
   end)

   it("has the functions of saros.socket, and no other", function()
      assert.are.equal("", compare(public(saros.socket), found.classes["saros.socketlib"]))
   end)

   it("has the functions of saros.ssl, and no other", function()
      assert.are.equal("", compare(public(saros.ssl), found.classes["saros.ssllib"]))
   end)

   it("has of saros.coroutine what Lua's own coroutine library lacks", function()
      local own = public(saros.coroutine)
      for name in ("create resume wrap yield status close running isyieldable"):gmatch("%a+") do
         assert.is_true(own[name])
         own[name] = nil
      end
      assert.are.equal("", compare(own, found.classes["saros.coroutinelib"]))
   end)

   it("has the methods of every type, and no other", function()
      local wrong, methods = {}, 0
      for name, meta in pairs(types()) do
         local index = type(meta.__index) == "table" and public(meta.__index) or {}
         local difference = compare(index, found.classes[name] or {})
         if difference ~= "" then wrong[#wrong + 1] = name .. ": " .. difference:gsub("\n", ", ") end
         for _ in pairs(index) do methods = methods + 1 end
      end
      assert.are.equal("", table.concat(wrong, "\n"))
      assert.is_true(methods > 60)
   end)

   it("has no class with methods that the module does not have", function()
      local real = types()
      for name, methods in pairs(found.classes) do
         if next(methods) and not name:match("lib$") then assert.is_truthy(real[name], name) end
      end
   end)

   it("is read as a language server reads it", function()
      local read = stub.parse("---@class a.b\nlocal B = {}\n\n---Does it.\n---@param x? integer\nfunction B:go(x) end\n\n"
         .. "function B.undescribed() end\n\n---Strange.\nfunction C.x(y) end\n")
      assert.are.same({ ["a.b"] = { go = 6, undescribed = 8 } }, read.classes)
      assert.are.same({ "line 8: undescribed is not described", "line 11: what is C?" }, read.problems)
   end)
end)
