-- .luacheckrc: what luacheck knows about the Lua code here.
std = "lua54"
max_line_length = 120
cache = false
ignore = {"211/_.*"} -- a <close> variable that is there only to be closed
files["tests"] = {max_line_length = 150} -- tables of cases read best a case a line
files["tests/spec"] = {std = "lua54+busted", max_line_length = 150}
files["bindings/lua/library"] = {ignore = {"211", "212", "241"}} -- declarations, for editors
files["tests/differential"] = {std = "lua54+busted", max_line_length = 150}
files["examples/embed"] = {globals = {"boss", "weather", "main", "answers"}} -- what its host calls
exclude_files = { "build" }
