-- .luacheckrc: what luacheck knows about the Lua code here.
std = "lua54"
max_line_length = 120
cache = false
files["tests/spec"] = { std = "lua54+busted" }
exclude_files = { "build" }
