-- tls.lua: saros.tls: what a script says of TLS, checked and made into what tls/*.c wants.
--
-- A context holds certificates, authorities and versions; it is made of options, kept, and used by many connections.
-- What concerns one connection (the host, who verifies whom, protocols, the time it may take) is said beside it.
-- Connections with nothing of their own share one context, because reading the system's authorities, which the first
-- that verifies does, takes 20 ms.
-- Promises: a client verifies unless it was told "insecure"; files are read when a context is made, or reloaded, and
-- then only; a handshake that takes too long ends, and its stream is closed.
local saros = ...
local core = saros._tls

local tls = {}

local TIMEOUT <const> = 60 -- seconds for a handshake, as asyncio's
local VERSIONS <const> = {["1.0"] = 0x0301, ["1.1"] = 0x0302, ["1.2"] = 0x0303, ["1.3"] = 0x0304}
local VERIFY <const> = {none = 0, optional = 1, required = 2}

local CONTEXT <const> = {
   cert = "string", key = "string", password = "string", ca = "any", ciphers = "string", ciphersuites = "string",
   min_version = "string", max_version = "string", alpn = "table", sni = "table",
}
local CONNECTION <const> = {
   server = "boolean", host = "string", verify = "string", insecure = "boolean", timeout = "number", alpn = "table",
   context = "userdata", session = "userdata",
}

-- The caller's argument is wrong; the level is that of whoever called the function that the script sees.
local function wrong(what, option, expected)
   error(("bad argument to '%s' (option '%s': %s expected)"):format(what, option, expected), 0)
end

local function check(what, options)
   for key, value in next, options do
      local expected = CONNECTION[key] or CONTEXT[key]
      if not expected then
         error(("bad argument to '%s' (unknown option '%s')"):format(what, tostring(key)), 0)
      elseif expected ~= "any" and type(value) ~= expected then
         wrong(what, key, expected)
      end
   end
end

-- Protocols as they go over the wire (RFC 7301): each with its length before it.
local function wire(what, list)
   if not list then return nil end
   local parts = {}
   for i, name in ipairs(list) do
      if type(name) ~= "string" or #name < 1 or #name > 255 then wrong(what, "alpn", "names of 1 to 255 bytes") end
      parts[i] = string.pack("s1", name)
   end
   if #parts == 0 then wrong(what, "alpn", "at least one name") end
   return table.concat(parts)
end

function tls._wire(list) return wire("wrap", list) end

local function version(what, options, key, otherwise)
   local name = options[key]
   if not name then return otherwise end
   return VERSIONS[name:gsub("^TLSv", "")] or wrong(what, key, '"1.2" or the like')
end

-- A text of PEM as it is; else what the file of that name has; or nil, message, code, is it a folder.
local function pem(option, text)
   if not text or text:find("-----BEGIN", 1, true) then return text end
   local file <close>, message, number = io.open(text, "rb")
   if not file then return nil, ("option '%s': %s"):format(option, message), number == 13 and "EACCES" or "ENOENT" end
   local content, why = file:read("a")
   if content and content ~= "" then return content end
   return nil, ("option '%s': %s: %s"):format(option, text, why or "the file is empty"), "EINVAL", why ~= nil
end

local made_of = setmetatable({}, {__mode = "k"}) -- a context's options

-- The names of the option sni, and their contexts.
local function names(what, sni)
   if not sni then return nil end
   local list, sorted = {}, {}
   for name in pairs(sni) do
      if type(name) ~= "string" then wrong(what, "sni", "names with contexts") end
      sorted[#sorted + 1] = name
   end
   table.sort(sorted, function(a, b) return #a > #b or #a == #b and a < b end) -- what says more comes first
   for i, name in ipairs(sorted) do
      if not made_of[sni[name]] then wrong(what, "sni", "names with contexts") end
      list[i] = {name:lower(), sni[name]}
   end
   return list
end

-- What configure wants; or nil, message, code.
local function fields(what, options)
   local set = {
      password = options.password, ciphers = options.ciphers, ciphersuites = options.ciphersuites,
      min_version = version(what, options, "min_version", VERSIONS["1.2"]),
      max_version = version(what, options, "max_version", 0),
      alpn = wire(what, options.alpn), names = names(what, options.sni), system = options.ca == nil,
   }
   local message, code, folder
   set.cert, message, code = pem("cert", options.cert)
   if message then return nil, message, code end
   set.key, message, code = pem("key", options.key or options.cert)
   if message then return nil, message, code end
   if options.ca ~= nil and options.ca ~= false then
      if type(options.ca) ~= "string" then wrong(what, "ca", "a file, a folder, PEM, or false") end
      set.ca, message, code, folder = pem("ca", options.ca)
      if folder then
         set.folder = options.ca
      elseif message then
         return nil, message, code
      end
   end
   return set
end

-- ---- contexts ------------------------------------------------------------------------------------------------------

local function configure(what, context, options)
   local ok, message, code = core.available()
   if not ok then return nil, message, code end
   local set, why
   set, why, code = fields(what, options)
   if not set then return nil, "TLS: " .. why, code end
   local result
   result, message, code = core.configure(context, set)
   if not result then return nil, "TLS: " .. message, code end
   made_of[result] = options
   return result
end

local function only(known, options)
   local chosen = {}
   for key in next, known do chosen[key] = options[key] end
   return chosen
end

function tls.context(options)
   options = options or {}
   if type(options) ~= "table" then error("bad argument #1 to 'context' (table expected)", 2) end
   for key in next, options do
      if not CONTEXT[key] then
         error(("bad argument #1 to 'context' (unknown option '%s')"):format(tostring(key)), 2)
      end
   end
   check("context", options)
   return configure("context", nil, only(CONTEXT, options))
end

-- The files are read again; options replace those that the context was made of.
function tls._reload(context, options)
   local merged = {}
   for key, value in next, made_of[context] do merged[key] = value end
   if options ~= nil and type(options) ~= "table" then error("bad argument #1 to 'reload' (table expected)", 0) end
   for key, value in next, options or {} do
      if not CONTEXT[key] then
         error(("bad argument #1 to 'reload' (unknown option '%s')"):format(tostring(key)), 0)
      end
      merged[key] = value
   end
   check("reload", merged)
   local ok, message, code = configure("reload", context, merged)
   if not ok then return nil, message, code end
   return true
end

local ordinary -- of clients that ask for nothing special

local function context_for(what, options)
   if type(options) == "userdata" then return options end
   if options.context then return options.context end
   for key in next, CONTEXT do
      if options[key] ~= nil and key ~= "alpn" or options[key] ~= nil and options.server then
         return configure(what, nil, only(CONTEXT, options))
      end
   end
   local message, code
   if not ordinary then ordinary, message, code = configure(what, nil, {}) end
   return ordinary, message, code
end

-- ---- connections ---------------------------------------------------------------------------------------------------

-- The option host as it stands in certificates.
local function host_name(what, host)
   if not host then return nil end
   host = host:gsub("^%[(.*)%]$", "%1"):gsub("%%.*", ""):gsub("%.$", "")
   local is_one = #host >= 1 and #host <= 255 and not host:find("[%z\1-\32]") and not host:find("^%.")
   if not is_one then wrong(what, "host", "a host's name") end
   return host
end

-- Options in any of their forms as a table.
local function table_of(what, options)
   if options == nil or options == true then return {} end
   if type(options) == "userdata" then return {context = options} end
   if type(options) ~= "table" then error(("bad argument to '%s' (TLS options: table expected)"):format(what), 0) end
   check(what, options)
   wire(what, options.alpn)
   host_name(what, options.host)
   if options.verify and not VERIFY[options.verify] then wrong(what, "verify", '"required", "optional" or "none"') end
   return options
end

-- A server verifies nobody unless it is told to, or told whom to trust.
local function whom(options)
   if options.verify then return VERIFY[options.verify] end
   if options.server then return options.ca and VERIFY.required or VERIFY.none end
   return options.insecure and VERIFY.none or VERIFY.required
end

-- Which host a stream leads to, verified, and on whose word; and so a session, because OpenSSL verifies nobody again
-- who resumes one.
local verified = setmetatable({}, {__mode = "k"})

local function verdict(host, context) return ("%s\0%s"):format(host, made_of[context].ca or "the system") end

local function handshake(stream, options, context, what, whose)
   local verify = whom(options)
   local host, session = host_name(what, options.host), options.session
   if not options.server and verify ~= VERIFY.none and not host then wrong(what, "host", "the name to verify") end
   if session and verify ~= VERIFY.none and verified[session] ~= verdict(host, context) then session = nil end
   whose = whose or stream:peer_address() or "?"
   local done, message, code = stream:flush() -- what was written in plain is sent so
   if not done then return nil, message, code end
   done, message, code = saros.timeout(options.timeout or TIMEOUT, core.handshake, stream, context,
      options.server or false, host, verify, wire(what, options.alpn), session)
   if done then
      if not options.server and verify ~= VERIFY.none then verified[stream] = verdict(host, context) end
      return done
   end
   if host and not whose:find(host, 1, true) then whose = ("%s (%s)"):format(host, whose) end
   return nil, ("TLS with %s: %s"):format(whose, message), code
end

function tls.upgrade(stream, options, whose)
   local what = "start_tls"
   options = table_of(what, options)
   local context, message, code = context_for(what, options)
   if not context then return nil, message, code end
   return handshake(stream, options, context, what, whose)
end

local function as(server, options)
   local copy = {}
   for key, value in next, options do copy[key] = value end
   copy.server = server
   return copy
end

function tls.client(stream, options)
   return tls.upgrade(stream, as(false, table_of("client", options)))
end

function tls.server(stream, options)
   return tls.upgrade(stream, as(true, table_of("server", options)))
end

-- Closed where the caller is cancelled before it has it.
local Opened = {__metatable = false}

function Opened.__close(self)
   if not self.done then self.stream:close() end
end

local function host_of(address)
   if type(address) == "table" then return address.host end
   if address:find("^unix:") then return nil end
   local host = address:match("^%[(.*)%]:%d+$") or address:match("^(.*):%d+$")
   return host ~= "" and host or nil
end

-- saros.connect with the option tls.
function tls._connect(address, options)
   local rest = {}
   for key, value in next, options do
      if key ~= "tls" then rest[key] = value end
   end
   if not options.tls then return saros.connect(address, rest) end
   local settings = as(false, table_of("connect", options.tls))
   settings.host = settings.host or host_of(address)
   local context, message, code = context_for("connect", settings)
   if not context then return nil, message, code end
   local stream
   stream, message, code = saros.connect(address, rest)
   if not stream then return nil, message, code end
   local opened <close> = setmetatable({stream = stream}, Opened)
   local where = type(address) == "string" and address or stream:peer_address()
   opened.done, message, code = handshake(stream, settings, context, "connect", where)
   return opened.done, message, code
end

-- For saros.serve: what its option tls means for each connection; or nil, message, code.
function tls._acceptor(options)
   local settings = as(true, table_of("serve", options))
   if not settings.cert and not settings.context then wrong("serve", "tls.cert", "a certificate") end
   local context, message, code = context_for("serve", settings)
   if not context then return nil, message, code end
   return function(stream) return handshake(stream, settings, context, "serve") end
end

function tls._info(stream)
   if not core.info then return nil end
   return core.info(stream)
end

function tls._session(stream)
   if not core.session then return nil end
   local session, message, code = core.session(stream)
   if session then verified[session] = verified[stream] end
   return session, message, code
end

return tls
