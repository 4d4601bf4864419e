-- download.lua: downloads files over HTTP/1.1 and HTTPS, several at once, and one file in several pieces at once.
--
-- Run it:   saros examples/download.lua [-o FOLDER] [-n N] [-p N] URL…
--           -o FOLDER   where the files go (.)
--           -n N        how many files at a time (4)
--           -p N        in how many pieces, where the server gives any (1)
-- Notice:   each piece is a task of its own with a file of its own, opened at its place; what one of them raises ends
--           the file's other pieces, and not the other files. The bars are drawn by a task that knows nothing of
--           downloads: it looks at numbers. Nobody here says how to wait for a disk or a socket; `write` and
--           `read_some` do.
--
--    large.iso    [=============>                ]  46 %   92.1 MB  30.7 MB/s
--    notes.txt    [==============================] 100 %    0.1 MB   0.8 MB/s

local saros = require "saros"

local LEAST <const> = 64 * 1024 -- bytes that are worth a piece of their own
local REDIRECTIONS <const> = 5

-- ---- HTTP --------------------------------------------------------------------------------------------------------

-- Asks for a URL from `first` to `last`; the stream at the beginning of the body, the status, the headers.
local function request(url, first, last, left)
   local scheme, host, path = url:match("^(https?)://([^/?#]+)([^#]*)")
   if not host then error("http://HOST/PATH expected", 0) end
   local tls = scheme == "https"
   local address = host:match(":%d+$") and host or host .. (tls and ":443" or ":80")
   local stream = assert(saros.connect(address, {tls = tls}))
   assert(stream:write("GET ", path:match("^/") and path or "/" .. path, " HTTP/1.1\r\nHost: ", host,
      ("\r\nRange: bytes=%d-%s\r\nConnection: close\r\n\r\n"):format(first, last or "")))
   local head = assert(stream:read_until("\r\n\r\n"))
   local status, headers = tonumber(head:match("^HTTP/1%.%d (%d%d%d)")), {}
   for name, value in head:gmatch("\n([^:\r\n]+):[ \t]*([^\r\n]*)") do headers[name:lower()] = value end
   if status == 200 or status == 206 then return stream, status, headers end
   stream:close()
   local target = headers.location
   if not (status and status // 100 == 3 and target) or left == 0 then
      error(head:match("^[^\r\n]*"), 0)
   end
   if target:match("^/") then target = scheme .. "://" .. host .. target end
   return request(target, first, last, (left or REDIRECTIONS) - 1)
end

-- The pieces of `size` bytes, or up to the end: `for piece in …`.
local function bytes(stream, size)
   return function()
      if size == 0 then return nil end
      local piece, message = stream:read_some(size)
      if not piece and (message or size) then error(message or "the connection ended too early", 0) end
      size = size and size - #piece
      return piece
   end
end

local function chunks(stream)
   local inside = bytes(stream, 0)
   return function()
      local piece = inside()
      if piece then return piece end
      local line = assert(stream:read("l"))
      if line == "\r" then line = assert(stream:read("l")) end -- the end of the chunk before
      local size = assert(tonumber(line:match("^%x+"), 16), "a chunk's size expected")
      if size == 0 then return nil end
      inside = bytes(stream, size)
      return inside()
   end
end

-- ---- files -------------------------------------------------------------------------------------------------------

local function save(pieces, name, at, bar)
   local file <close> = assert(saros.open(name, "r+"))
   assert(file:seek("set", at))
   for piece in pieces do
      assert(file:write(piece))
      bar.got = bar.got + #piece
   end
   assert(file:close())
end

local function download(url, name, most, bar)
   local stream <close>, status, headers = request(url, 0)
   assert(assert(saros.open(name, "w")):close())
   local total = tonumber(headers["content-length"])
   bar.total = total
   if (headers["transfer-encoding"] or ""):lower() == "chunked" then return save(chunks(stream), name, 0, bar) end
   if status == 200 or not total then return save(bytes(stream, total), name, 0, bar) end
   local count = math.max(1, math.min(most, total // LEAST))
   local share = total // count
   saros.group(function(group)
      for i = 1, count - 1 do
         local first, last = i * share, i < count - 1 and (i + 1) * share - 1 or total - 1
         group:spawn(function()
            local rest <close>, is = request(url, first, last)
            if is ~= 206 then error("the server has changed its mind about pieces", 0) end
            save(bytes(rest, last - first + 1), name, first, bar)
         end)
      end
      save(bytes(stream, count > 1 and share or total), name, 0, bar) -- the first one has begun already
   end)
end

-- ---- bars --------------------------------------------------------------------------------------------------------

local function line_of(bar)
   local part = bar.total and bar.total > 0 and bar.got / bar.total or bar.done and 1 or 0
   local filled = math.floor(part * 30)
   local drawn = ("="):rep(filled) .. (filled < 30 and ">" or "") .. (" "):rep(29 - filled)
   local took = math.max((bar.done or saros.now()) - bar.began, 1e-9)
   return ("%-20.20s [%s] %3d %% %7.1f MB %6.1f MB/s"):format(bar.name, drawn, math.floor(part * 100), bar.got / 1e6,
      bar.got / 1e6 / took)
end

local function draw(bars, again)
   if again then io.write(("\27[%dA"):format(#bars)) end
   for _, bar in ipairs(bars) do io.write("\r\27[K", line_of(bar), "\n") end
   io.flush()
end

-- Of several pieces that failed the first one tells why.
local function first_of(failure)
   return tostring(type(failure) == "table" and failure.errors and failure.errors[1] or failure)
end

-- ---- the program -------------------------------------------------------------------------------------------------

local function main(...)
   local options, urls, words, i = {o = ".", n = 4, p = 1}, {}, {...}, 1
   while words[i] do
      local option = words[i]:match("^%-([onp])$")
      if option then options[option], i = words[i + 1], i + 1
      else urls[#urls + 1] = words[i] end
      i = i + 1
   end
   local most, parts = math.tointeger(tonumber(options.n)), math.tointeger(tonumber(options.p))
   if #urls == 0 or not (most and most > 0 and parts and parts > 0) then
      io.stderr:write("usage: download.lua [-o FOLDER] [-n N] [-p N] URL…\n")
      os.exit(2, true)
   end
   local bars = {}
   for n, url in ipairs(urls) do
      bars[n] = {name = url:match("/([^/?#]+)[^/]*$") or "index.html", url = url, got = 0, began = saros.now()}
   end
   draw(bars)
   saros.group({background = true}, function(group)
      group:spawn(function()
         for _ in saros.every(0.1) do draw(bars, true) end
      end)
      saros.map(bars, function(bar)
         bar.began = saros.now()
         local ok, failure = saros.pcall(download, bar.url, options.o .. "/" .. bar.name, parts, bar)
         bar.done = saros.now()
         if ok then bar.total = bar.total or bar.got else bar.failure = first_of(failure) end
      end, {limit = most})
   end)
   draw(bars, true)
   local failed = false
   for _, bar in ipairs(bars) do
      if bar.failure then io.stderr:write(("download: %s: %s\n"):format(bar.url, bar.failure)) end
      failed = failed or bar.failure ~= nil
   end
   if failed then os.exit(1, true) end
end

saros.run(main, ...)
