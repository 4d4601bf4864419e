-- fs.lua: saros.fs: the file system, by name. One call of the system is in services/fs.c; here is what is made of
-- several. None of it is atomic: others may change the same files meanwhile, and then the error says at which.
local saros = ...

local call <const> = saros._fs

local fs = {
   stat = call.stat,
   lstat = call.lstat,
   rename = call.rename,
   chmod = call.chmod,
   utime = call.utime,
   link = call.link,
   readlink = call.readlink,
   realpath = call.realpath,
   watch = call.watch,
}

-- Names the caller of what calls this.
local function check(what, ...)
   for arg = 1, select("#", ...) do
      local path = (select(arg, ...))
      if type(path) ~= "string" or path == "" or path:find("\0", 1, true) then
         local problem = type(path) == "string" and "a path without zeros in it expected"
            or "string expected, got " .. type(path)
         error(("bad argument #%d to '%s' (%s)"):format(arg, what, problem), 3)
      end
   end
end

local WINDOWS <const> = package.config:sub(1, 1) == "\\"

local function join(folder, name)
   return folder:find(WINDOWS and "[/\\]$" or "/$") and folder .. name or folder .. "/" .. name
end

local function parent_of(path)
   local parent = path:gsub("/+$", ""):match("^(.*)/[^/]*$")
   if WINDOWS then parent = path:gsub("[/\\]+$", ""):match("^(.*)[/\\][^/\\]*$") end
   return parent ~= "" and parent or nil
end

function fs.list(folder)
   check("saros.fs.list", folder)
   local names, kinds, code = call.scandir(folder)
   if names and WINDOWS then table.sort(names) end
   return names, kinds, code
end

function fs.exists(path)
   check("saros.fs.exists", path)
   local found, message, code = call.stat(path)
   if found then return true end
   if code == "ENOENT" or code == "ENOTDIR" then return false end
   return nil, message, code
end

-- ---- making ------------------------------------------------------------------------------------------------------

local function make_with_parents(path, mode)
   local made, message, code = call.mkdir(path, mode)
   if made then return true end
   if code == "ENOENT" and parent_of(path) then
      made, message, code = make_with_parents(parent_of(path))
      if not made then return nil, message, code end
      made, message, code = call.mkdir(path, mode)
      if made then return true end
   end
   local there = call.stat(path) -- others may make the same
   if there and there.kind == "directory" then return true end
   return nil, message, code
end

function fs.mkdir(path, given)
   check("saros.fs.mkdir", path)
   local wanted <const> = saros._options("saros.fs.mkdir", 2, given, {parents = "boolean", mode = "integer"})
   return (wanted.parents and make_with_parents or call.mkdir)(path, wanted.mode)
end

function fs.symlink(target, path)
   check("saros.fs.symlink", target, path)
   local found = WINDOWS and call.stat(target)
   return call.symlink(target, path, found and found.kind == "directory" and 1 or 0) -- UV_FS_SYMLINK_DIR
end

function fs.copy(from, to, given)
   check("saros.fs.copy", from, to)
   local wanted <const> = saros._options("saros.fs.copy", 3, given, {exclusive = "boolean"})
   return call.copyfile(from, to, wanted.exclusive and 1 or 0) -- UV_FS_COPYFILE_EXCL
end

local TEMPORARY <const> = {dir = "string", prefix = "string"}

local function template(wanted)
   local folder = wanted.dir or os.getenv("TMPDIR") or os.getenv("TEMP") or os.getenv("TMP") or "/tmp"
   return join(folder, (wanted.prefix or "saros-") .. "XXXXXX")
end

function fs.temp_file(given)
   return saros._fs_temporary(template(saros._options("saros.fs.temp_file", 1, given, TEMPORARY)))
end

function fs.temp_dir(given)
   return call.mkdtemp(template(saros._options("saros.fs.temp_dir", 1, given, TEMPORARY)))
end

-- ---- removing ----------------------------------------------------------------------------------------------------

-- A link is removed, and not what it leads to.
local function remove_one(path)
   local gone, message, code = call.unlink(path)
   if gone or code == "ENOENT" then return gone, message, code end
   local found = call.lstat(path)
   if found and found.kind == "directory" then return call.rmdir(path) end
   return nil, message, code
end

local function remove_tree(path)
   local gone, message, code = remove_one(path)
   if gone or (code ~= "ENOTEMPTY" and code ~= "EEXIST") then return gone, message, code end
   local names
   names, message, code = call.scandir(path)
   if not names then return nil, message, code end
   for _, name in ipairs(names) do
      gone, message, code = remove_tree(join(path, name))
      if not gone and code ~= "ENOENT" then return nil, message, code end
   end
   return call.rmdir(path)
end

function fs.remove(path, given)
   check("saros.fs.remove", path)
   local wanted <const> = saros._options("saros.fs.remove", 2, given, {recursive = "boolean"})
   return (wanted.recursive and remove_tree or remove_one)(path)
end

-- ---- walking -----------------------------------------------------------------------------------------------------

-- What is left to be visited of a folder: its entries in order, from `at` on. Nothing where it cannot be listed.
local function enter(folder, wanted)
   local names, kinds, code = fs.list(folder)
   if names then return {folder = folder, names = names, kinds = kinds, at = 1} end
   if not wanted.on_error then saros.try(nil, kinds, code) end
   wanted.on_error(folder, kinds, code)
end

-- A folder comes before what is in it.
function fs.walk(folder, given)
   check("saros.fs.walk", folder)
   local wanted <const> = saros._options("saros.fs.walk", 2, given, {depth = "number", on_error = "function"})
   local open, inner = {}, folder -- folders under way, from the outside in; the one to be entered next
   return function()
      if inner then open[#open + 1] = enter(inner, wanted) end
      inner = nil
      while #open > 0 and open[#open].at > #open[#open].names do open[#open] = nil end
      local top = open[#open]
      if not top then return nil end
      local name = top.names[top.at]
      local path, kind = join(top.folder, name), top.kinds[name]
      top.at = top.at + 1
      if kind == "unknown" then kind = (call.lstat(path) or {kind = kind}).kind end
      if kind == "directory" and #open < (wanted.depth or math.huge) then inner = path end
      return path, kind
   end
end

return fs
