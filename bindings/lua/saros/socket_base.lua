-- socket_base.lua: what the objects of saros.socket share: LuaSocket's classes, arguments, error texts, time-outs, and
-- its receive and send over anything that has a stream's read_some, write, shutdown and close.
--
-- An object is a table whose metatable is its class: `stream` what it reads and writes (nil: none), `chunk` from `at`
-- on what was received and not yet asked for, `over` the error that every further receive ends with, `pending` the task
-- of a connect that goes on.
-- Promises: results as LuaSocket's, floats where its C code pushes numbers. What a failed receive has taken is in its
-- third result; nothing is lost.
local saros = ...

local base = {}

-- A time-out of 0 means "look, and do not wait". The loop looks at the kernel when 20 us have passed since the last
-- time (SAROS_BURST in core/loop.h): what is ready is found within this, and others run meanwhile.
base.LOOK = 0.000025
local LOOK <const> = base.LOOK
local STEP <const> = 8192 -- what LuaSocket sends in one call, with a time-out for each

-- Seconds since 1970; a simulated world has a calendar of its own, as os.time shows it.
function base.wall()
   local loop = saros.current_loop()
   if loop and loop:driver() == "sim" then return os.time() + saros.now() % 1 end
   return saros._wall()
end

-- ---- classes -----------------------------------------------------------------------------------------------------

-- Classes as LuaSocket names them, "tcp{master}", … with the same methods: what an object is changes in its life.
function base.add_classes(classes, kind, roles, methods)
   classes.any = kind .. "{any}"
   for _, role in ipairs(roles) do
      local index = {class = ("%s{%s}"):format(kind, role)}
      for name, method in pairs(methods) do index[name] = method end
      classes[role] = {
         __index = index, __name = index.class, __close = methods.close, [classes.any] = true,
         __tostring = function(self) return ("%s: %s"):format(index.class, ("%p"):format(self)) end,
      }
   end
end

-- Raises an error of whoever called this module.
local function blame(text)
   local level = 2
   local caller = debug.getinfo(level, "S")
   while caller and caller.source:match("^=saros/socket") do
      level = level + 1
      caller = debug.getinfo(level, "S")
   end
   error(text, level)
end

-- Raises where `self` is not of the class; `name` is the method's.
function base.check(self, name, class)
   if getmetatable(self) == class then return end
   blame(("calling '%s' on bad self (%s expected)"):format(name, class.__name))
end

function base.check_any(self, name, any)
   local class = getmetatable(self)
   if type(class) == "table" and rawget(class, any) then return end
   blame(("calling '%s' on bad self (%s expected)"):format(name, any))
end

-- A new object with what receive and send need.
function base.new(class, fields)
   fields.chunk, fields.at, fields.block, fields.total = "", 1, -1, -1
   fields.received, fields.sent, fields.born = 0, 0, base.wall()
   return setmetatable(fields, class)
end

-- ---- arguments ---------------------------------------------------------------------------------------------------

function base.bad(arg, name, what) blame(("bad argument #%d to '%s' (%s)"):format(arg, name, what)) end

function base.bad_type(arg, name, expected, value)
   base.bad(arg, name, ("%s expected, got %s"):format(expected, value == nil and "no value" or type(value)))
end
local bad_type = base.bad_type

function base.string(value, arg, name)
   if type(value) == "string" then return value end
   if type(value) == "number" then return tostring(value) end
   bad_type(arg, name, "string", value)
end

function base.number(value, default, arg, name)
   if value == nil and default then return default end
   local number = tonumber(value)
   if number and type(value) ~= "table" then return number end
   bad_type(arg, name, "number", value)
end

-- ---- errors ------------------------------------------------------------------------------------------------------

-- What LuaSocket says for an error: its own words for some, the C library's for the rest.
local TEXTS = {
   ECLOSED = "closed", EEOF = "closed", EPIPE = "closed", ECONNRESET = "closed", ECONNABORTED = "closed",
   ESHUTDOWN = "closed", ETIMEDOUT = "timeout", EADDRINUSE = "address already in use", EISCONN = "already connected",
   EACCES = "permission denied", ECONNREFUSED = "connection refused",
   ENAME = "host or service not provided, or not known", ENAMETOOLONG = "host or service not provided, or not known",
   ENOTCONN = "Transport endpoint is not connected", EBADF = "Bad file descriptor",
   ENETUNREACH = "Network is unreachable", EHOSTUNREACH = "No route to host", ENOENT = "No such file or directory",
   EADDRNOTAVAIL = "Cannot assign requested address", EMFILE = "Too many open files", EPERM = "Operation not permitted",
   ENFILE = "Too many open files in system", EAFNOSUPPORT = "Address family not supported by protocol",
   EINVAL = "Invalid argument", EMSGSIZE = "Message too long",
}

function base.text(message, code) return TEXTS[code] or message end

-- ---- time-outs ---------------------------------------------------------------------------------------------------

function base.settimeout(self, value, mode)
   local seconds = base.number(value, -1, 1, "settimeout")
   local kind = mode == nil and "b" or base.string(mode, 2, "settimeout"):sub(1, 1)
   if seconds ~= seconds then base.bad(1, "settimeout", "number expected, got NaN") end
   if kind == "b" then self.block = seconds + 0.0
   elseif kind == "t" or kind == "r" then self.total = seconds + 0.0
   else base.bad(2, "settimeout", "invalid timeout mode") end
   return 1.0
end

function base.gettimeout(self) return self.block + 0.0, self.total + 0.0 end

-- When the call began, where it has a time-out.
function base.begin(self) return (self.block >= 0 or self.total >= 0) and saros.now() or nil end

-- How long the next wait of a call that began then may take; nil: for ever. With one time-out set it counts from the
-- call's beginning, whichever it is; with both the block time-out counts for each wait: so does LuaSocket.
local function patience(self, began)
   if not began then return nil end
   local block, total = self.block, self.total
   local passed = saros.now() - began
   local left = total < 0 and block - passed or block < 0 and total - passed or math.min(block, total - passed)
   return math.max(left, LOOK)
end

-- fn(...) within what the call may take. A time-out of ours and one of the kernel's look the same, as in LuaSocket.
function base.within(self, began, fn, ...)
   local seconds = patience(self, began)
   if not seconds then return fn(...) end
   return saros.timeout(seconds, fn, ...)
end

-- ---- connected or not --------------------------------------------------------------------------------------------

-- Waits for a connect that goes on in the background (it began with a time-out of 0). Whether it has ended.
local function await_connect(self, began)
   local pending = self.pending
   if pending and not pending:done() then base.within(self, began, pending.await, pending) end
   return not pending or pending:done()
end

-- Takes over what the connect in the background has brought: nothing, or its error.
function base.connected(self)
   local stream, message, code = self.pending:result()
   self.pending, self.stream = nil, stream
   if stream then base.apply_options(self) end
   return not stream and base.text(message, code) or nil
end

-- Nothing where there is a stream; or an error.
local function connected(self, began)
   if not await_connect(self, began) then return "timeout" end
   local failed = self.pending and base.connected(self)
   return failed or not self.stream and "closed" or nil
end

-- ---- receive -----------------------------------------------------------------------------------------------------

-- Waits until something was received; nothing, or the error.
local function fill(self, began)
   if self.over then return self.over end
   if not self.stream then
      local failed = connected(self, began)
      if failed then return failed end
   end
   local stream = self.stream
   local bytes, message, code = base.within(self, began, stream.read_some, stream)
   if bytes then
      self.chunk, self.at = bytes, 1
   elseif not code then
      if self.stream == stream then self.over = "closed" end
      return "closed", true
   else
      return base.text(message, code)
   end
end
base.fill = fill

function base.is_empty(self) return self.at > #self.chunk end

-- For select: whether a receive has something to say at once; whether a send could, and a wait until it can.
function base.is_readable(self) return self.over ~= nil or not base.is_empty(self) end
function base.is_writable(self) return self.pending ~= nil and self.pending:done() end

function base.await_writable(self)
   if self.pending then await_connect(self)
   elseif self.stream then saros.wait_writable(self.stream) end
end

-- Everything up to `stop` of what is there.
local function take(self, stop)
   local chunk, at = self.chunk, self.at
   self.received = self.received + stop - at + 1
   if stop < #chunk then
      self.at = stop + 1
   else
      self.chunk, self.at = "", 1
      if at == 1 then return chunk end
   end
   return chunk:sub(at, stop)
end

local function receive_bytes(self, began, prefix, wanted)
   if wanted > 0 and #self.chunk - self.at + 1 >= wanted then
      return prefix .. take(self, self.at + wanted - 1), nil, nil
   end
   local pieces = {prefix}
   while true do
      if base.is_empty(self) then -- asked for nothing, LuaSocket waits too
         local failed = fill(self, began)
         if failed then return nil, failed, table.concat(pieces) end
      end
      local piece = wanted > 0 and take(self, math.min(#self.chunk, self.at + wanted - 1)) or ""
      pieces[#pieces + 1] = piece
      wanted = wanted - #piece
      if wanted <= 0 then return table.concat(pieces), nil, nil end
   end
end

-- LuaSocket drops each "\r" of a line, wherever it stands.
local function clean(text)
   if text:find("\r", 1, true) then return (text:gsub("\r", "")) end
   return text
end

local function receive_line(self, began, prefix)
   local pieces = {}
   while true do
      if base.is_empty(self) then
         local failed = fill(self, began)
         if failed then return nil, failed, prefix .. clean(table.concat(pieces)) end
      end
      local stop = self.chunk:find("\n", self.at, true)
      local piece = take(self, stop or #self.chunk)
      if stop and #pieces == 0 then return prefix .. clean(piece:sub(1, -2)), nil, nil end
      pieces[#pieces + 1] = stop and piece:sub(1, -2) or piece
      if stop then return prefix .. clean(table.concat(pieces)), nil, nil end
   end
end

local function receive_all(self, began, prefix)
   local pieces = {prefix}
   while true do
      if base.is_empty(self) then
         local failed, at_end = fill(self, began)
         at_end = at_end or failed ~= nil and failed == self.over
         if at_end and #pieces > 1 then return table.concat(pieces), nil, nil end
         if failed then return nil, failed, table.concat(pieces) end
      end
      pieces[#pieces + 1] = take(self, #self.chunk)
   end
end

-- receive([pattern[, prefix]]) -> data; or nil, error, what was received of it.
function base.receive(self, pattern, prefix)
   prefix = prefix == nil and "" or base.string(prefix, 2, "receive")
   local began = base.begin(self)
   local count = pattern ~= nil and tonumber(pattern)
   if count then
      if count < 0 or count ~= count then base.bad(1, "receive", "invalid receive pattern") end
      if #prefix > 0 and count <= #prefix then return prefix, nil, nil end
      count = count < 2^53 and math.floor(count) or math.maxinteger
      return receive_bytes(self, began, prefix, count - #prefix)
   end
   local kind = pattern == nil and "*l" or base.string(pattern, 1, "receive"):sub(1, 2)
   if kind == "*l" then return receive_line(self, began, prefix) end
   if kind == "*a" then return receive_all(self, began, prefix) end
   base.bad(1, "receive", "invalid receive pattern")
end

-- ---- send --------------------------------------------------------------------------------------------------------

local function truncated(value, default, arg)
   local number = base.number(value, default, arg, "send")
   if math.type(number) == "integer" then return number end
   if not (number > -2^53 and number < 2^53) then return number > 0 and math.maxinteger or 0 end
   return number >= 0 and math.floor(number) or math.ceil(number)
end

-- How many bytes went out, and the error, if not all.
local function send_piece(self, began, data)
   local stream = self.stream
   local done, message, code, sent = base.within(self, began, stream.write, stream, data)
   if done then return #data end
   if code == "ETIMEDOUT" and not sent then sent = stream._cut and stream:_cut() or 0 end
   return sent or 0, base.text(message, code)
end

-- send(data[, first[, last]]) -> the index of the last byte that went out; or nil, error, that index.
function base.send(self, data, first, last)
   data = base.string(data, 1, "send")
   local size = #data
   first, last = truncated(first, 1, 2), truncated(last, -1, 3)
   if first < 0 then first = size + first + 1 end
   if last < 0 then last = size + last + 1 end
   first, last = math.max(first, 1), math.min(last, size)
   local began, out = base.begin(self), first - 1
   local failed = first <= last and not self.stream and connected(self, began)
   local step = self.block >= 0 and self.total >= 0 and STEP or size
   while out < last and not failed do
      local stop = math.min(last, out + step)
      local sent
      sent, failed = send_piece(self, began, out == 0 and stop == size and data or data:sub(out + 1, stop))
      out, self.sent = out + sent, self.sent + sent
   end
   if failed then return nil, failed, out + 0.0 end
   return out + 0.0, nil, nil
end

-- ---- the rest ----------------------------------------------------------------------------------------------------

function base.getstats(self) return self.received + 0.0, self.sent + 0.0, base.wall() - self.born end

function base.setstats(self, received, sent, age)
   self.received = base.number(received, self.received, 1, "setstats")
   self.sent = base.number(sent, self.sent, 2, "setstats")
   if tonumber(age) then self.born = base.wall() - tonumber(age) end
   return 1.0
end

function base.dirty(self) return not base.is_empty(self) end

local WAYS = {send = true, receive = true, both = true}

-- What was received stays; what comes later is not received any more.
function base.shutdown(self, how)
   how = how == nil and "both" or base.string(how, 1, "shutdown")
   if not WAYS[how] then base.bad(1, "shutdown", ("invalid option '%s'"):format(how)) end
   local stream = self.stream
   if how ~= "send" then self.over = "closed" end
   if how ~= "receive" and stream then stream:shutdown() end
   return 1.0
end

-- The stream, and what was received of it and not yet asked for: they are the caller's, and the object is as if closed.
function base.take_stream(self)
   local stream, left = self.stream, self.chunk:sub(self.at)
   self.stream, self.chunk, self.at = nil, "", 1
   return stream, left
end

-- A connect that was to end and has won all the same.
local function forget(task)
   local stream = not task:cancelled() and task:result()
   if stream then stream:close() end
end

function base.close(self)
   local stream, pending = self.stream, self.pending
   self.stream, self.pending, self.over = nil, nil, nil
   self.chunk, self.at = "", 1
   if pending and not pending:cancel() then stream = pending:result()
   elseif pending then pending:add_done_callback(forget) end
   if stream then stream:close() end
   return 1.0
end

return base
