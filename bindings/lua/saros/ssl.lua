-- ssl.lua: saros.ssl: the module `ssl` of LuaSec on saros.tls and the objects of saros.socket.
--
-- After package.loaded.ssl = require "saros.ssl", beside socket, LuaSec's own ssl.https waits in its task while others
-- run.
-- Promises: names, arguments and results as LuaSec's, as far as they are here; what a time-out ends is "wantread" or
-- "wantwrite", and can be called again. More than LuaSec: a host that `sni` has named is also verified, where anything
-- is.
local saros = ...

local core, base = saros._tls, saros._socket_base

local ssl = {
   _VERSION = "1.2.0", _COPYRIGHT = "LuaSec 1.2.0 API (Saros " .. saros._VERSION .. ")",
   config = {
      protocols = {any = true, tlsv1_2 = true, tlsv1_3 = true},
      options = {all = true, no_sslv2 = true, no_sslv3 = true, no_tlsv1 = true, no_tlsv1_1 = true, no_tlsv1_2 = true,
         no_tlsv1_3 = true, no_compression = true, no_renegotiation = true},
      algorithms = {ec = true}, capabilities = {alpn = true, curves_list = false, dane = false},
   },
}

-- ---- contexts ----------------------------------------------------------------------------------------------------

local Context = {__name = "SSL:Context"}

local function set_of(value)
   local set = {}
   for _, name in ipairs(type(value) == "table" and value or {value}) do set[name] = true end
   return set
end

local FIXED <const> = {tlsv1 = "1.0", tlsv1_1 = "1.1", tlsv1_2 = "1.2", tlsv1_3 = "1.3"}

-- What protocol and options leave; nothing below TLS 1.2 but what is asked for by its name.
local function versions(cfg)
   local fixed = FIXED[cfg.protocol]
   if fixed then return fixed, fixed end
   local without = set_of(cfg.options)
   return without.no_tlsv1_2 and "1.3" or "1.2", without.no_tlsv1_3 and "1.2" or nil
end

local PROTOCOLS <const> = {any = true, tls = true, sslv23 = true}

function ssl.newcontext(cfg)
   if type(cfg) ~= "table" then base.bad_type(1, "newcontext", "table", cfg) end
   if cfg.mode ~= "client" and cfg.mode ~= "server" then return nil, "invalid mode" end
   if not PROTOCOLS[cfg.protocol] and not FIXED[cfg.protocol] then return nil, "invalid protocol" end
   local own = cfg.certificates and cfg.certificates[1] or cfg
   local password = own.password
   if type(password) == "function" then password = password() end
   local least, most = versions(cfg)
   local alpn = type(cfg.alpn) == "string" and {cfg.alpn} or cfg.alpn
   if alpn ~= nil and type(alpn) ~= "table" then return nil, "invalid ALPN parameter" end
   local context, message = saros.tls.context{
      cert = own.certificate, key = own.key, password = password, ca = cfg.cafile or cfg.capath or false,
      ciphers = cfg.ciphers, ciphersuites = cfg.ciphersuites, min_version = least, max_version = most, alpn = alpn,
   }
   if not context then return nil, message end
   local verify, level = set_of(cfg.verify), 0
   if verify.peer then level = (cfg.mode == "client" or verify.fail_if_no_peer_cert) and 2 or 1 end
   return setmetatable({context = context, mode = cfg.mode, verify = level, alpn = saros.tls._wire(alpn)}, Context)
end

-- ---- certificates ------------------------------------------------------------------------------------------------

local Certificate = {__name = "SSL:Certificate"}
Certificate.__index = Certificate

function Certificate:pem() return self.of.pem end
function Certificate:serial() return self.of.serial end
function Certificate:notbefore() return os.date("!%b %d %H:%M:%S %Y GMT", self.of.not_before) end
function Certificate:notafter() return os.date("!%b %d %H:%M:%S %Y GMT", self.of.not_after) end
function Certificate:validat(time) return time >= self.of.not_before and time <= self.of.not_after end

function Certificate:digest(algorithm)
   if algorithm ~= nil and algorithm ~= "sha256" then return nil, "digest algorithm not supported" end
   return self.of.fingerprint
end

-- ---- connections -------------------------------------------------------------------------------------------------

local methods, classes = {}, {}

local function text_of(message, code)
   if code == "ETRUNCATED" then return "unexpected eof while reading" end
   return base.text(message, code)
end

-- The handshake goes on in a task of its own, so that a time-out only ends the wait for it.
local function begin_handshake(self)
   local stream, context = self.raw, self.context
   self.shaking = saros._spawn_background(core.handshake, stream, context.context, context.mode == "server", self.host,
      context.verify, context.alpn):set_name("handshake")
end

function methods.dohandshake(self)
   base.check(self, "dohandshake", classes.connection)
   if self.stream then return true end
   if not self.raw then return false, "closed" end
   if not self.shaking then begin_handshake(self) end
   local task = self.shaking
   if not task:done() then base.within(self, base.begin(self), task.await, task) end
   if not task:done() then
      self.wants = "read"
      return false, "wantread"
   end
   local stream, message, code = task:result()
   self.wants = "nothing"
   if not stream then
      self.raw = nil
      return false, text_of(message, code)
   end
   self.stream = stream
   return true
end

local function again(self, word, want, result, failed, partial)
   self.wants = failed == "timeout" and want or "nothing"
   return result, failed == "timeout" and word or failed, partial
end

function methods.receive(self, ...)
   base.check(self, "receive", classes.connection)
   return again(self, "wantread", "read", base.receive(self, ...))
end

function methods.send(self, ...)
   base.check(self, "send", classes.connection)
   return again(self, "wantwrite", "write", base.send(self, ...))
end

function methods.want(self) return self.wants end

function methods.sni(self, host)
   if self.context.mode ~= "client" then return nil, "server names are for saros.tls.context" end
   self.host = base.string(host, 1, "sni")
end

function methods.settimeout(self, ...) return base.settimeout(self, ...) end
function methods.gettimeout(self) return base.gettimeout(self) end
function methods.dirty(self) return base.dirty(self) end
function methods.getstats(self) return base.getstats(self) end
function methods.setstats(self, ...) return base.setstats(self, ...) end

function methods.close(self)
   base.check(self, "close", classes.connection)
   local raw, shaking = self.raw, self.shaking
   self.raw, self.shaking = nil, nil
   if shaking then shaking:cancel() end
   base.close(self)
   if raw then raw:close() end
   return 1.0
end

local function info_of(self) return self.stream and self.stream:tls_info() end

-- Of what LuaSec tells, that which OpenSSL's name of the cipher does not say already.
function methods.info(self, field)
   local info = info_of(self)
   if not info then return nil, "closed" end
   local told = {protocol = info.version, cipher = info.cipher, bits = info.bits, algbits = info.bits, export = false}
   if field then return told[field] end
   return told
end

function methods.getalpn(self) return (info_of(self) or {}).alpn end
function methods.getsniname(self) return (info_of(self) or {}).server_name end

function methods.getpeercertificate(self, place)
   local info = info_of(self)
   if not info then return nil, "closed" end
   if place ~= nil and place ~= 1 then return nil end
   return info.peer and setmetatable({of = info.peer}, Certificate)
end

function methods.getpeerverification(self)
   local info = info_of(self)
   if not info then return false, "closed" end
   if not info.peer then return false, "no certificate" end
   if info.verdict == "ok" then return true end
   return false, {{info.verdict}}
end

function methods.getpeername(self)
   local open = self.stream or self.raw
   local text = open and open:peer_address()
   if not text then return nil, "closed" end
   local host, port = text:match("^%[?(.-)%]?:(%d+)$")
   return host, math.tointeger(port)
end

base.add_classes(classes, "SSL", {"connection"}, methods)
classes.connection.__name = "SSL:Connection"
classes.connection.is_readable, classes.connection.await_readable = base.is_readable, base.fill
classes.connection.is_writable, classes.connection.await_writable = base.is_writable, base.await_writable

-- ssl.wrap(socket of saros.socket, table or context) -> a connection; the socket's stream is its own from now on.
function ssl.wrap(sock, cfg)
   local context = cfg
   if getmetatable(cfg) ~= Context then
      local made, message = ssl.newcontext(cfg)
      if not made then return nil, message end
      context = made
   end
   if not sock.stream then return nil, "the socket is not connected" end
   if not base.is_empty(sock) then return nil, "bytes were received in plain before TLS began" end
   local self = base.new(classes.connection, {context = context, wants = "nothing"})
   self.block, self.total = sock.block, sock.total
   self.raw = base.take_stream(sock)
   return self
end

return ssl
