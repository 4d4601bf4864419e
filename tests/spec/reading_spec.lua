-- reading_spec.lua: every way to read from a stream: as io files do, in pieces of any size, up to limits, to the end.

local saros = require "saros"
local kit = require "support.kit"
require("support.leaks")(before_each, after_each)

-- A stream that will get these pieces, each in a segment of its own, and then the end.
local function feed(pieces, options)
   local client, server = kit.pair(options)
   local sender = saros.spawn(function()
      for _, piece in ipairs(pieces) do
         assert(server:write(piece))
         kit.turns(2)
      end
      server:shutdown()
   end)
   return client, function()
      sender:cancel()
      saros.pcall(sender.await, sender)
      client:close()
      server:close()
   end
end

local function with(pieces, fn, options)
   local stream, done = feed(type(pieces) == "string" and { pieces } or pieces, options)
   local results = table.pack(pcall(fn, stream))
   done()
   if not results[1] then error(results[2], 0) end
   return table.unpack(results, 2, results.n)
end

local function file_with(content)
   local file = assert(io.tmpfile())
   file:write(content)
   file:seek("set")
   return file
end

local function eof_error(text)
   return { n = 3, nil, text, "EEOF" }
end

describe("stream:read", function()
   it("reads what io files read, for every format, on the same bytes", function()
      local contents = { "", "\n", "\n\n", "one", "one\n", "one\ntwo", "one\r\ntwo\n\nthree", "\0a\0\n\0", "  12 x",
                         ("long "):rep(2000) .. "\nend", "1 2.5 -3e2 0x1F .5 5. +7 1e5 0x.8p1" }
      local calls = { {}, { "l" }, { "L" }, { "n" }, { "a" }, { 0 }, { 1 }, { 3 }, { 100000 }, { "l", "L", "l" },
                      { "n", "n", "n" }, { 0, "l" }, { 2, "a" }, { "a", "a" }, { "a", "l" }, { "*l", "*n" }, { "L", 0, "a" },
                      { "*all", "*number" }, { "line" } }
      for _, content in ipairs(contents) do
         for _, formats in ipairs(calls) do
            local file <close> = file_with(content)
            with(content, function(stream)
               for _ = 1, 4 do
                  local expected, got = table.pack(file:read(table.unpack(formats))), table.pack(stream:read(table.unpack(formats)))
                  assert.are.same(expected, got, ("%q read(%s)"):format(content:sub(1, 40), table.concat(formats, ",")))
               end
            end)
         end
      end
   end)

   it("reads numerals exactly as io does, whatever they are made of", function()
      local seed = 7
      local function draw(n)
         seed = (seed * 1103515245 + 12345) % 2147483648
         return seed // 65536 % n + 1
      end
      local parts = { "0", "1", "9", "+", "-", ".", "e", "E", "x", "X", "p", "P", "a", "F", " ", "\n", "00", "0x", "1e", "nan", "inf" }
      local text = {}
      for _ = 1, 400 do
         for _ = 1, draw(7) do text[#text + 1] = parts[draw(#parts)] end
         text[#text + 1] = " "
      end
      text[#text + 1] = ("1"):rep(199) .. " " .. ("2"):rep(200) .. " " .. ("3"):rep(201) .. " 0x" .. ("4"):rep(198) .. " " .. ("5"):rep(500)
      local content = table.concat(text)
      local file <close> = file_with(content)
      with(content, function(stream)
         for step = 1, 100000 do
            local expected, got = file:read("n"), stream:read("n")
            assert(expected == got and math.type(expected) == math.type(got),
               ("step %d: %s, not %s"):format(step, tostring(got), tostring(expected)))
            expected, got = file:read(1), stream:read(1)
            assert(expected == got, ("step %d: %q, not %q"):format(step, tostring(got), tostring(expected)))
            if not expected then break end
         end
      end)
   end)

   it("waits for a numeral to end, wherever it is cut", function()
      for cut = 1, 7 do
         local text = "-12.5e1 rest"
         with({ text:sub(1, cut), text:sub(cut + 1) }, function(stream)
            assert.are.equal(-125.0, stream:read("n"))
            assert.are.equal(" rest", stream:read("a"))
         end)
      end
   end)

   it("looks for a numeral only as far as a line may be long", function()
      local client, server = kit.pair({ line_limit = 100 })
      local writer = saros.spawn(server.write, server, (" "):rep(30) .. "17" .. ("\n"):rep(101))
      assert.are.equal(17, client:read("n"))
      assert.are.equal("ELIMIT", (select(3, client:read("n"))))
      assert.are.equal(101, #client:read(101))
      writer:await()
      client:close()
      server:close()
   end)

   it("waits for all bytes asked for, and gives fewer only at the end", function()
      with({ "ab", "cd", "e" }, function(stream)
         assert.are.equal("abc", stream:read(3))
         assert.are.equal("de", stream:read(10))
         assert.are.same({ n = 1 }, table.pack(stream:read(1)))
         assert.are.same({ n = 1 }, table.pack(stream:read(0)))
         assert.are.equal("", stream:read("a"))
      end)
   end)

   it("J6: is under one deadline, however often a byte comes", function()
      local client, server = kit.pair()
      local sender = saros.spawn(function()
         while server:write("x") do saros.sleep(0.001) end
      end)
      local began = saros.now()
      assert.are.equal("ETIMEDOUT", select(3, saros.timeout(0.03, client.read, client)))
      assert.is_true(saros.now() - began >= 0.03 - 1e-9)
      assert.is_false(sender:done())
      sender:cancel()
      saros.pcall(sender.await, sender)
      client:close()
      server:close()
   end)

   it("of 0 bytes waits until it is known whether the end has come", function()
      with({ "x" }, function(stream)
         assert.are.equal("", stream:read(0))
         assert.are.equal("x", stream:read(1))
         assert.is_nil(stream:read(0))
      end)
   end)

   it("reads lines cut at every byte", function()
      local text = "first\n\nsecond line\nlast"
      for cut = 1, #text - 1 do
         with({ text:sub(1, cut), text:sub(cut + 1) }, function(stream)
            assert.are.same({ "first\n", "", "second line", "last" }, { stream:read("L", "l", "l", "l") })
            assert.is_nil(stream:read())
         end)
      end
   end)

   it("keeps everything for the next read when it is cancelled, with several formats too", function()
      local client, server = kit.pair()
      server:write("one\n  2 two")
      assert.are.equal("ETIMEDOUT", select(3, saros.timeout(0.003, client.read, client, "l", "n", "l")))
      assert.are.equal("ETIMEDOUT", select(3, saros.timeout(0.003, client.read, client, 100)))
      assert.are.equal("ETIMEDOUT", select(3, saros.timeout(0.003, client.read, client, "a")))
      server:write("\nend")
      server:close()
      assert.are.same({ "one", 2, " two", "end" }, { client:read("l", "n", "l", "a") })
      client:close()
   end)

   it("looks again at what it had searched when it searches for something else", function()
      local client, server = kit.pair()
      server:write("a;b")
      assert.are.equal("ETIMEDOUT", select(3, saros.timeout(0.002, client.read, client, "l")))
      assert.are.equal("a;", client:read_until(";"))
      assert.are.equal("ETIMEDOUT", select(3, saros.timeout(0.002, client.read_until, client, ";")))
      server:write("\n")
      assert.are.equal("b", client:read("l"))
      client:close()
      server:close()
   end)

   it("refuses a second reader with EBUSY and does not disturb the first", function()
      local client, server = kit.pair()
      local first = saros.spawn(function() return client:read("l") end)
      saros.sleep(0)
      for _, method in ipairs({ "read", "read_some" }) do
         local result, message, code = client[method](client)
         assert.is_nil(result)
         assert.is_truthy(message:find("another task is reading", 1, true))
         assert.are.equal("EBUSY", code)
      end
      assert.are.equal("EBUSY", select(3, client:read_exactly(1)))
      assert.are.equal("EBUSY", select(3, client:read_until("x")))
      server:write("for the first\n")
      assert.are.equal("for the first", first:await())
      client:close()
      server:close()
   end)

   it("names bad formats before anything is read", function()
      with("line\n", function(stream)
         for _, format in ipairs({ "x", "", "*", {}, -1, 1.5, print }) do
            assert.is_truthy(kit.text_of(function() stream:read("l", format) end):find("bad argument #2 to 'read'", 1, true))
         end
         local many = {}
         for i = 1, 251 do many[i] = "l" end
         kit.raises("too many formats", stream.read, stream, table.unpack(many))
         assert.are.equal("line", stream:read())
      end)
   end)
end)

describe("stream:read_some", function()
   it("gives what there is, at most n bytes, and nil at the end", function()
      with("abcdef", function(stream)
         assert.are.equal("ab", stream:read_some(2))
         assert.are.equal("cdef", stream:read_some())
         assert.are.same({ n = 1 }, table.pack(stream:read_some()))
         assert.are.same({ n = 1 }, table.pack(stream:read_some(1)))
      end)
   end)

   it("takes a positive whole number", function()
      with("x", function(stream)
         for _, n in ipairs({ 0, -1, 1.5, math.mininteger, {}, "x", 0 / 0 }) do
            kit.raises("bad argument #2", stream.read_some, stream, n)
         end
         assert.are.equal("x", stream:read_some(math.maxinteger))
      end)
   end)
end)

describe("stream:read_exactly", function()
   it("gives n bytes, however they arrive", function()
      with({ "ab", "c", "defgh" }, function(stream)
         assert.are.equal("abcd", stream:read_exactly(4))
         assert.are.equal("", stream:read_exactly(0))
         assert.are.equal("ef", stream:read_exactly(2))
         assert.are.equal("gh", stream:read_exactly(2))
      end)
   end)

   it("gives EEOF and what there was where the stream ends before, and keeps that for the next read", function()
      with({ "ab", "c" }, function(stream)
         for _ = 1, 2 do
            local result, message, code, partial = stream:read_exactly(10)
            assert.is_nil(result)
            assert.is_truthy(message:find("ended", 1, true))
            assert.are.equal("EEOF", code)
            assert.are.equal("abc", partial)
         end
         assert.are.equal("abc", stream:read("a"))
         assert.are.equal("", select(4, stream:read_exactly(1)))
      end)
   end)

   it("takes numbers of any size without allocating them", function()
      with("abc", function(stream)
         for _, n in ipairs({ 2 ^ 31, 2 ^ 32 + 1, 2 ^ 53, math.maxinteger }) do
            assert.are.equal("abc", select(4, stream:read_exactly(n)))
         end
         for _, n in ipairs({ -1, 1.5, 0 / 0, math.huge, {}, "x", math.mininteger }) do
            kit.raises("bad argument #2", stream.read_exactly, stream, n)
         end
         kit.raises("bad argument #2", stream.read_exactly, stream)
         assert.are.equal("ab", stream:read_exactly("2"))
      end)
   end)
end)

describe("stream:read_until", function()
   local ambiguous = { "\n", "aa", "aaa", "aab", "abab", "abcabd", "--abc", "\r\n\r\n", "\0\0" }

   it("finds ambiguous delimiters as string.find does, cut at every byte", function()
      for _, delimiter in ipairs(ambiguous) do
         local a, b = delimiter:sub(1, 1), delimiter:sub(1, -2)
         local text = a .. b .. b .. delimiter .. b .. a .. delimiter .. b
         local expected, from = {}, 1
         while true do
            local _, last = text:find(delimiter, from, true)
            if not last then break end
            expected[#expected + 1] = text:sub(from, last)
            from = last + 1
         end
         for cut = 1, #text - 1 do
            with({ text:sub(1, cut), text:sub(cut + 1) }, function(stream)
               for _, piece in ipairs(expected) do assert.are.equal(piece, stream:read_until(delimiter)) end
               assert.are.same(eof_error("read_until: the stream has ended before"), table.pack(stream:read_until(delimiter)))
               assert.are.equal(text:sub(from), stream:read("a"))
            end)
         end
      end
   end)

   it("finds them when every byte comes alone", function()
      local text, pieces = "ababac--ab--abc|", {}
      for i = 1, #text do pieces[i] = text:sub(i, i) end
      with(pieces, function(stream)
         assert.are.equal("ababac", stream:read_until("abac"))
         assert.are.equal("--ab--abc", stream:read_until("--abc"))
         assert.are.equal("|", stream:read_until("|"))
      end)
   end)

   it("counts the bytes before the delimiter against its limit: limit-1, limit, limit+1", function()
      for _, size in ipairs({ 9, 10, 11 }) do
         with(("x"):rep(size) .. "<>rest", function(stream)
            local result, message, code = stream:read_until("<>", 10)
            if size <= 10 then
               assert.are.equal(("x"):rep(size) .. "<>", result)
            else
               assert.is_nil(result)
               assert.is_truthy(message:find("longer than 10 bytes", 1, true))
               assert.are.equal("ELIMIT", code)
               assert.are.equal(("x"):rep(size) .. "<>", stream:read_until("<>", 11))
            end
            assert.are.equal("rest", stream:read("a"))
         end)
      end
   end)

   it("fails with ELIMIT before the delimiter has come, and keeps the data", function()
      local client, server = kit.pair({ line_limit = 20 })
      server:write(("y"):rep(30))
      assert.are.equal("ELIMIT", select(3, client:read_until("\n")))
      assert.are.equal("ELIMIT", select(3, client:read("l")))
      assert.are.equal("ELIMIT", select(3, client:read_until("\n", 29)))
      assert.are.equal(("y"):rep(30), client:read_exactly(30))
      client:close()
      server:close()
   end)

   it("takes a delimiter of at least one byte and a limit that is no negative number", function()
      with("a,b", function(stream)
         kit.raises("an empty delimiter", stream.read_until, stream, "")
         kit.raises("bad argument #2", stream.read_until, stream)
         kit.raises("bad argument #2", stream.read_until, stream, {})
         kit.raises("bad argument #3", stream.read_until, stream, ",", -1)
         kit.raises("bad argument #3", stream.read_until, stream, ",", 0.5)
         assert.are.equal("ELIMIT", select(3, stream:read_until(",", 0)))
         assert.are.equal("a,", stream:read_until(",", math.maxinteger))
      end)
   end)
end)

describe("the limits", function()
   it("of a line are exact: limit-1, limit, limit+1 bytes before its end", function()
      for _, size in ipairs({ 99, 100, 101 }) do
         with({ ("z"):rep(size) .. "\nnext\n" }, function(stream)
            local line, _, code = stream:read("l")
            if size <= 100 then
               assert.are.equal(size, #line)
               assert.are.equal("next", stream:read("l"))
            else
               assert.are.equal("ELIMIT", code)
               assert.are.equal(size + 6, #stream:read("a"))
            end
         end, { line_limit = 100 })
      end
   end)

   it("of a line are 64 KiB by default", function()
      with(("z"):rep(65536) .. "\n" .. ("z"):rep(65537) .. "\n", function(stream)
         assert.are.equal(65536, #stream:read("l"))
         assert.are.equal("ELIMIT", select(3, stream:read("L")))
      end)
   end)

   it("of everything are exact as well", function()
      for _, size in ipairs({ 999, 1000, 1001 }) do
         with(("z"):rep(size), function(stream)
            local all, _, code = stream:read("a")
            if size <= 1000 then
               assert.are.equal(size, #all)
            else
               assert.are.equal("ELIMIT", code)
               assert.are.equal(size, #stream:read(2000))
            end
         end, { all_limit = 1000 })
      end
   end)

   it("must be whole numbers above 0", function()
      for _, limit in ipairs({ 0, -1, 1.5, "x", {}, true }) do
         kit.raises("option 'line_limit'", saros.connect, "127.0.0.1:1", { line_limit = limit })
         kit.raises("option 'all_limit'", saros.listen, "127.0.0.1:0", { all_limit = limit })
      end
   end)
end)

describe("stream:lines", function()
   it("iterates as io files do, with formats too", function()
      local content = "1 one\n2 two\n\n3"
      for _, formats in ipairs({ {}, { "L" }, { "n", "l" }, { 3 }, { 1, "l" }, { "n" } }) do
         local file <close> = file_with(content)
         local expected, got = {}, {}
         for a, b in file:lines(table.unpack(formats)) do expected[#expected + 1] = tostring(a) .. "|" .. tostring(b) end
         with(content, function(stream)
            for a, b in stream:lines(table.unpack(formats)) do got[#got + 1] = tostring(a) .. "|" .. tostring(b) end
         end)
         assert.are.same(expected, got)
      end
   end)

   it("raises anything but a clean end, with its code", function()
      local client, server = kit.pair({ line_limit = 10 })
      server:write("short\n" .. ("x"):rep(20))
      local seen = {}
      local err = kit.error_of(function()
         for line in client:lines() do seen[#seen + 1] = line end
      end)
      assert.are.same({ "short" }, seen)
      assert.are.equal("ELIMIT", saros.error_code(err))
      client:close()
      assert.are.equal("ECLOSED", saros.error_code((kit.error_of(function() for _ in client:lines() do end end))))
      server:close()
   end)

   it("checks its formats at once", function()
      with("", function(stream)
         kit.raises("invalid format", stream.lines, stream, "x")
      end)
   end)
end)
