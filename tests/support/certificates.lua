-- certificates.lua: certificates for specs about TLS, made by the openssl program into a temporary folder.
--
-- make(), of_spec(about): a table of file names, or nil where there is no openssl (or no shell) here. remove() takes the folder away.
-- Keys are of elliptic curves: a dozen of them takes a fifth of a second.

local saros = require "saros"
local kit = require("support.kit")

local certificates = {}

local CONFIG <const> = [[
[req]
distinguished_name = name
[name]
]]

local SCRIPT <const> = [[
cd "$folder" || exit 1
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }
authority() {
   key "$1" && openssl req -config config -x509 -new -key "$1.key" -days 30 -subj "/CN=$2" \
      -addext basicConstraints=critical,CA:TRUE -out "$1.pem"
}
leaf() { # file, days, subject, names, authority
   key "$1" && openssl req -config config -new -key "$1.key" -subj "/CN=$3" -out "$1.csr" &&
      printf 'subjectAltName=%s\n' "$4" >"$1.ext" &&
      openssl x509 -req -in "$1.csr" -CA "$5.pem" -CAkey "$5.key" -CAcreateserial -days "$2" -extfile "$1.ext" -out "$1.pem"
}
authority ca "Test Authority" && authority stranger "Unknown Authority" &&
leaf server 30 localhost DNS:localhost,IP:127.0.0.1,IP:::1 ca &&
leaf renewed 30 renewed DNS:localhost,IP:127.0.0.1 ca &&
leaf other 30 other DNS:other.example,DNS:*.wild.example ca &&
leaf expired -1 localhost DNS:localhost,IP:127.0.0.1 ca &&
leaf client 30 client email:client@example.org ca &&
leaf impostor 30 client DNS:client stranger &&
key self && openssl req -config config -x509 -new -key self.key -days 30 -subj /CN=localhost \
   -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -out self.pem &&
openssl ec -in server.key -aes128 -passout pass:secret -out locked.key &&
cat server.pem ca.pem >chain.pem && printf nonsense >nonsense.pem && : >empty.pem
]]

function certificates.make()
   if kit.windows or not os.execute("command -v openssl >/dev/null 2>&1") then return nil end
   local folder = kit.shell("mktemp -d"):gsub("%s+$", "")
   do
      local file <close> = assert(io.open(folder .. "/config", "wb"))
      file:write(CONFIG)
   end
   local output, how, code = kit.shell("folder=" .. kit.quote(folder) .. "\n" .. SCRIPT)
   if how ~= "exit" or code ~= 0 then error("openssl made no certificates: " .. output) end
   return setmetatable({
      folder = folder,
      remove = function() os.execute("rm -rf " .. kit.quote(folder)) end,
   }, {
      __index = function(_, name) return folder .. "/" .. (name:gsub("_key$", ".key"):gsub("^([%w]+)$", "%1.pem")) end,
   })
end

-- For a spec that needs them, and sockets: the table, removed when the file has run; or nil, and `about` says why not. After
-- it: what busted gives to the spec's file alone.
function certificates.of_spec(about, describe, pending, teardown)
   local files = certificates.make()
   local why = not saros._tls.info and "this build has no OpenSSL" or not files and "no openssl program here"
      or kit.driver == "none" and "driver none has no sockets"
   if files then teardown(files.remove) end
   if not why then return files end
   describe(about, function() pending("(" .. why .. ")") end)
   return nil
end

return certificates
