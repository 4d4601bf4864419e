-- asyncio_doc_spec.lua: docs/asyncio.md names what there is on both sides: of ours nothing that does not exist, unless it
-- is said to be planned, and of asyncio everything that the Python at hand has.

local saros = require "saros"
local doc_blocks = require "support.doc_blocks"
local oracle = require "oracle.oracle"
local stub = require "support.stub"

-- While the surface grows from several sides, what is new loses its "planned" a little later.
local GROWING = true

local root = debug.getinfo(1, "S").source:match("^@(.*)tests[/\\]spec[/\\]") or ""
local found = stub.read(root)

local text
do
   local file <close> = assert(io.open(root .. "docs/asyncio.md", "rb"))
   text = file:read("a"):gsub("\r\n", "\n")
end

-- The rows of all tables as {line =, python =, ours =, note =}.
local function rows()
   local list = {}
   local _, prose = doc_blocks.parse(text)
   for _, piece in ipairs(prose) do
      local python, ours, note = piece.text:match("^| (.-) | (.-) | (.-) ?|$")
      if python and python ~= "asyncio" then
         list[#list + 1] = { line = piece.line, python = python, ours = ours, note = note }
      end
   end
   return list
end

local function codes(cell) return cell:gmatch("`([^`]+)`") end

-- Does a name of ours exist: `saros.spawn(fn, ...)`, `task:cancel()`; nil for what is not one.
local function exists(code)
   local name = code:match("^saros%.([%l_]+)")
   if name then return saros[name] ~= nil end
   local class, method = code:match("^([%l_]+):([%l_]+)")
   if class then
      local methods = found.classes["saros." .. class]
      return methods ~= nil and methods[method] ~= nil
   end
end

describe("docs/asyncio.md", function()
   it("names nothing of ours that is not there, unless it is planned", function()
      local named = 0
      for _, row in ipairs(rows()) do
         local planned = row.note:match("^planned")
         for code in codes(row.ours) do
            local there = exists(code)
            if there ~= nil then named = named + 1 end
            if planned then
               assert.is_not_true(there and not GROWING, ("line %d: %s is there, and no longer planned"):format(row.line, code))
            else
               assert.is_not_false(there, ("line %d: %s"):format(row.line, code))
            end
         end
      end
      assert.is_true(named > 60)
   end)

   it("names nothing of ours in its text that is not there", function()
      for _, name in ipairs(doc_blocks.names((select(2, doc_blocks.parse(text))))) do
         if name.text:match("^saros%.") then
            local planned
            for _, row in ipairs(rows()) do planned = planned or row.line == name.line and row.note:match("^planned") end
            assert.is_truthy(planned or exists(name.text), ("line %d: %s"):format(name.line, name.text))
         end
      end
   end)

   local python, version = oracle.python()
   if not python then
      pending("has every name of asyncio: " .. version)
      return
   end

   it("has every name of asyncio of Python " .. version .. ", and every method of its classes", function()
      local known = {}
      for _, row in ipairs(rows()) do
         for code in codes(row.python) do
            for word in code:gmatch("[%a_][%w_]*") do known[word] = true end
         end
      end
      -- Exceptions have only what all exceptions have.
      local pipe <close> = assert(io.popen("'" .. python .. [[' -W ignore -c '
import asyncio
for name in sorted(asyncio.__all__):
    it = getattr(asyncio, name)
    print(name)
    if isinstance(it, type) and not issubclass(it, BaseException):
        for method in sorted(dir(it)):
            if not method.startswith("_"):
                print(method)
']]))
      local missing, count = {}, 0
      for name in pipe:lines() do
         count = count + 1
         if not known[name] then missing[#missing + 1] = name end
      end
      assert.are.equal("", table.concat(missing, " "))
      assert.is_true(count > 200, count)
   end)
end)
