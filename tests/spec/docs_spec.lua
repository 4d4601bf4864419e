-- docs_spec.lua: README.md and docs/ say what is so: their programs run, their links lead somewhere, what they name
-- of the sources is there, and the reference knows every function of the module. How a document marks its programs:
-- tests/support/doc_blocks.lua.
--
-- Each program is a child process of its own on this run's driver (SAROS_DRIVER is inherited, SAROS_HOST names
-- the binary). Its stderr counts as output, so an unexpected report fails the test too. Commands of the shell and
-- pieces of C are tried once, on the best driver.

local lfs = require("lfs")

local doc_blocks = require("support.doc_blocks")

local host = os.getenv("SAROS_HOST") or "build/debug/saros"
local root = debug.getinfo(1, "S").source:match("^@(.*)tests[/\\]spec[/\\]") or ""
local windows = package.config:sub(1, 1) == "\\"

local function quote(word)
   if windows then return '"' .. word:gsub('"', '\\"') .. '"' end
   return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function slurp(path)
   local file <close> = assert(io.open(path, "rb"))
   return (file:read("a"):gsub("\r\n", "\n"))
end

local function files(folder, ending)
   local names = {}
   for name in lfs.dir(root .. folder) do
      if name:sub(-#ending) == ending then names[#names + 1] = folder .. "/" .. name end
   end
   table.sort(names)
   return names
end

-- The documents, the title page first.
local documents = files("docs", ".md")
table.insert(documents, 1, "README.md")
table.insert(documents, "CHANGELOG.md")

-- Under Wine one process in several hundred is not begun, for no reason that it tells: then it is asked again.
local function begin(line)
   local pipe, message
   for _ = 1, 3 do
      pipe, message = io.popen(line)
      local output = pipe and pipe:read("a")
      if not windows or output and not output:find("^Can't recognize") then return output, select(2, pipe:close()) end
      if pipe then pipe:close() end
   end
   error(("%s: %s"):format(line, message))
end

local function run(program, options)
   local path = os.tmpname()
   do
      local file <close> = assert(io.open(path, "wb"))
      assert(file:write(program))
   end
   local words = {quote(host)}
   for _, option in ipairs(options) do words[#words + 1] = quote(option) end
   words[#words + 1] = quote(path) .. " 2>&1"
   local line = table.concat(words, " ")
   local output, how, code = begin(windows and '"' .. line .. '"' or line) -- cmd takes the outermost quotes away
   os.remove(path)
   return output, how .. " " .. code
end

-- ---- commands and C ------------------------------------------------------------------------------------------------

local kit = require("support.kit")
local tried_here = kit.on_best_driver() and not windows

-- A line of the shell: the host's are run by this host; of the other scripts it is enough that they are there.
local function try_command(text)
   local script, arguments = text:match("^[%w_=]*%s*(scripts/%l+)(.*)$")
   if not script then error("what is " .. text) end
   assert(io.open(root .. script)):close()
   if script ~= "scripts/run" then return end
   local line = text:gsub("scripts/run", function() return quote(host) end, 1):gsub(" compare ", "%0--drivers poll --repeat 1 ")
   local output, how, code = kit.shell("cd " .. quote(root == "" and "." or root) .. " && " .. line)
   assert(how == "exit" and code == 0, line .. arguments .. "\n" .. output)
end

-- What the pieces of C in the documents may take for granted.
local C_BEFORE = [[
#include "backends/reactor.h"
#include "bindings/lua/saros_lua.h"
#include <lauxlib.h>
]]
local C_AROUND = [[
extern int playing;
void draw(void);
void piece(lua_State *L, saros_loop *loop);
void piece(lua_State *L, saros_loop *loop) {
char why[256];
%s}
]]

local function try_c(text)
   local name, removes <close> = kit.temporary(C_BEFORE
      .. (text:find("\nstatic ") and text or (C_AROUND:gsub("%%s", function() return text end))))
   local _ = removes
   local output, how, code = kit.shell("cc -std=c11 -fsyntax-only -I" .. quote(root == "" and "." or root)
      .. " $(pkg-config --cflags lua5.4 2>/dev/null) -x c " .. quote(name))
   assert(how == "exit" and code == 0, output)
end

-- Whole words only: `step` is not found in `saros_step`.
local function words_of(text, words)
   for word in text:gmatch("[%a_][%w_]*") do words[word] = true end
   return words
end

-- All that is ours to be named: C, Lua, what builds and runs it.
local sources, words = {slurp(root .. "CMakeLists.txt")}, {}
local rooms = {"tasks", "groups", "generators", "sync", "streams", "services", "look", "host", "saros"}
local folders = {"core", "backends", "bindings/lua", "examples"}
for _, room in ipairs(rooms) do folders[#folders + 1] = "bindings/lua/" .. room end
for _, folder in ipairs(folders) do
   for _, ending in ipairs{".c", ".h", ".lua"} do
      for _, name in ipairs(files(folder, ending)) do sources[#sources + 1] = slurp(root .. name) end
   end
end
sources = table.concat(sources, "\n")
words_of(sources, words)

-- SAROS_OP_RECV and its like are made by the preprocessor from the table of kinds, SAROS_ECANCELED from that of errors.
local function is_made(word)
   local kind = word:match("^SAROS_OP_(%u+)$") or word:match("^SAROS_(E%u+)$")
   return kind ~= nil and sources:find("X(" .. kind .. ",", 1, true) ~= nil
end

-- The word in `saros_tell`, `SAROS_EBUSY`, `step()`; nil for what may be anything.
local function c_name(text)
   local word = text:match("^([%a_][%w_]*)%(?%)?$")
   return word and (word:match("^saros_") or word:match("^SAROS_%u") or text:match("%(%)$")) and word or nil
end

-- A row of a table that begins with a link to a source says what happens there: the words in `code` are in that file
-- (what it shows in a trace need not be).
-- A row with an empty first cell goes on with the file of the row before.
local function check_rows(prose, folder)
   local rows, here = 0, nil
   for _, piece in ipairs(prose) do
      local target = piece.text:match("^| %[[^%]]+%]%(([^)]+%.[ch])%) |")
      if target then
         here = words_of(slurp(folder .. target), {})
      elseif not piece.text:match("^| |") then
         here = nil
      end
      if here then
         rows = rows + 1
         for text in piece.text:gsub("Trace: `[^`]*`", ""):gmatch("`([^`]+)`") do
            local word = text:match("^[%a_][%w_]*$")
            assert.is_true(not word or here[word] or is_made(word), ("line %d: %s"):format(piece.line, text))
         end
      end
   end
   return rows
end

for _, document in ipairs(documents) do
   local blocks, prose = doc_blocks.parse(slurp(root .. document))

   describe(document, function()
      for _, program in ipairs(doc_blocks.programs(blocks)) do
         it("runs the program in line " .. program.line, function()
            local output, ending = run(program.text, program.options)
            assert.are.equal("exit 0", ending, output)
            if program.output then assert.are.equal(program.output, output) end
         end)
      end

      for _, fragment in ipairs(doc_blocks.fragments(blocks)) do
         it("shows Lua in line " .. fragment.line, function()
            assert(load(fragment.text, "=line " .. fragment.line, "t"))
         end)
      end

      for _, command in ipairs(tried_here and doc_blocks.commands(blocks) or {}) do
         it("gives a command in line " .. command.line, function() try_command(command.text) end)
      end

      for _, piece in ipairs(tried_here and doc_blocks.c(blocks) or {}) do
         it("shows C in line " .. piece.line, function() try_c(piece.text) end)
      end

      it("links only to what is there", function()
         local folder = root .. (document:match("^(.*/)") or "")
         for _, link in ipairs(doc_blocks.links(prose)) do
            if not (windows and link.target:match("/$")) then -- there a folder cannot be opened like a file
               local file = io.open(folder .. link.target)
               assert.is_truthy(file, ("line %d: %s"):format(link.line, link.target))
               file:close()
            end
         end
      end)

      it("names only what the sources have", function()
         for _, name in ipairs(doc_blocks.names(prose)) do
            local word = c_name(name.text)
            assert.is_true(not word or words[word] or is_made(word), ("line %d: %s"):format(name.line, name.text))
         end
      end)

      it("names files that are there", function()
         for _, name in ipairs(doc_blocks.names(prose)) do
            if name.text:match("^[%w_]+/[%w_/]+%.[%l]+$") then
               local file = io.open(root .. name.text)
               assert.is_truthy(file, ("line %d: %s"):format(name.line, name.text))
               file:close()
            end
         end
      end)

      it("says of each source what is in that source", function()
         local rows = check_rows(prose, root .. (document:match("^(.*/)") or ""))
         assert.is_true(rows >= 10 or document ~= "docs/how-it-works.md")
      end)
   end)
end

describe("docs/api.md", function()
   local saros = require("saros")
   local reference = slurp(root .. "docs/api.md")

   it("has every function of the module", function()
      local found = 0
      for name, value in pairs(saros) do
         if type(value) == "function" and not name:match("^_") then
            found = found + 1
            assert.is_truthy(reference:find("saros%." .. name .. "%f[^%w_]"), "saros." .. name)
         end
      end
      assert.is_true(found > 20)
   end)

   it("has no function that the module does not have", function()
      for name in reference:gmatch("saros%.([%l_]+)%(") do
         assert.is_function(saros[name], "saros." .. name)
      end
   end)
end)

describe("docs/simulation.md", function()
   local saros = require("saros")
   local text = slurp(root .. "docs/simulation.md")

   it("has every function of saros.sim, and no other", function()
      local named = {}
      for name in text:gmatch("`saros%.sim%.([%l_]+)%(") do
         named[name] = true
         assert.is_function(saros.sim[name], "saros.sim." .. name)
      end
      for name in pairs(saros.sim) do assert.is_true(named[name], "saros.sim." .. name) end
   end)

   it("lists the faults as they are", function()
      local loop <close> = saros.loop({driver = "sim"})
      local rows, from = {}, 1
      for _, fault in ipairs(loop:run(saros.sim.faults)) do
         local budget = tostring(fault.budget):reverse():gsub("(%d%d%d)(%d)", "%1,%2"):reverse()
         rows[#rows + 1] = ("| `%s` | %s | %s | %s |\n"):format(fault.name, fault.chance, budget, fault.about)
         local at, to = text:find(rows[#rows], from, true)
         assert.is_truthy(at, rows[#rows])
         assert.is_true(from == 1 or at == from, rows[#rows])
         from = to + 1
      end
      assert.is_truthy(text:find("^\n", from), "a row of a fault that is not known")
   end)
end)

describe("the documents", function()
   it("have programs in them: README's, the tour's, the guide's", function()
      for _, document in ipairs{"README.md", "docs/how-it-works.md", "docs/concurrency.md"} do
         local programs = doc_blocks.programs((doc_blocks.parse(slurp(root .. document))))
         assert.is_true(#programs >= 1, document)
         assert.is_string(programs[1].output or programs[#programs].output, document)
      end
   end)

   it("are read as their convention says", function()
      local blocks, prose = doc_blocks.parse("see [a](b.c#L1) and [c](https://d)\n```lua\nprint(1)\n```\n\n"
         .. "```text output\n1\n```\n```lua fragment\nf()\n```\n```text output-like\nx\n```\n`saros_x` and `f()`\n"
         .. "```lua saros --seed 1\ng()\n```\n```sh\nscripts/x  # why\n\nscripts/y\n```\n```c\nint i;\n```\n")
      local programs = doc_blocks.programs(blocks)
      assert.are.same({{text = "print(1)\n", line = 2, options = {}, output = "1\n"},
         {text = "g()\n", line = 16, options = {"--seed", "1"}}}, programs)
      assert.are.same({{text = "scripts/x", line = 20}, {text = "scripts/y", line = 22}}, doc_blocks.commands(blocks))
      assert.are.same({{text = "int i;\n", line = 24}}, doc_blocks.c(blocks))
      assert.are.same({{text = "f()\n", line = 9, words = "lua fragment"}}, doc_blocks.fragments(blocks))
      assert.are.same({{target = "b.c", line = 1}}, doc_blocks.links(prose))
      assert.are.same({{text = "saros_x", line = 15}, {text = "f()", line = 15}}, doc_blocks.names(prose))
   end)

   it("are refused where a block has no end, or an output no program", function()
      assert.has_error(function() doc_blocks.parse("text\n```lua\nprint(1)\n") end,
         "the block that begins in line 2 has no end")
      local blocks = doc_blocks.parse("```text output\n1\n```\n")
      assert.has_error(function() doc_blocks.programs(blocks) end, "line 1: the output of which program?")
   end)
end)
