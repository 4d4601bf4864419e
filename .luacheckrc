-- .luacheckrc: what luacheck knows about the Lua code here.
std = "lua54"
max_line_length = 120
cache = false
ignore = {"211/_.*"} -- a <close> variable that is there only to be closed
files["tests/spec"] = { std = "lua54+busted" }
exclude_files = { "build" }
