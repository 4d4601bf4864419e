-- fs_spec.lua: saros.fs: the file system by name, and what changes in it.

local lfs = require("lfs")
local saros = require("saros")
local kit = require("support.kit")

require("support.leaks")(before_each, after_each)

local fs = saros.fs
local lacking = select(3, fs.stat(".")) == "ENOSYS" and "this build has no libuv"
local has_files = not lacking
saros.drivers() -- as in files_spec
local watches = has_files and kit.driver ~= "sim"
if watches then
   local watcher <close> = fs.watch(".") -- the system's descriptor for it stays
   watches = watcher ~= nil
end
local it_watches = watches and it or function(name) pending(name .. " (nothing is watched here)") end
local it = has_files and it or function(name) pending(("%s (%s)"):format(name, lacking)) end
local it_posix = has_files and not kit.windows and it or function(name) pending(name .. " (no such files here)") end

-- A folder of the case's own: its name, and a value for a <close> variable that removes it.
local function folder()
   local name = assert(fs.temp_dir())
   return name, setmetatable({}, {__close = function() saros.shield(fs.remove, name, {recursive = true}) end})
end

local function put(name, content)
   local file <close> = assert(saros.open(name, "w"))
   assert(file:write(content or ""))
   return name
end

local function failure(...)
   local value, message, code = ...
   assert.is_nil(value)
   return code, message
end

describe("saros.fs", function()
   it("tells what a file is", function()
      local root, _ <close> = folder()
      local name = put(root .. "/file", "12345")
      local status = assert(fs.stat(name))
      local theirs = lfs.attributes(name)
      assert.are.same({"file", 5, theirs.modification}, {status.kind, status.size, math.floor(status.modified)})
      assert.are.equal("directory", fs.stat(root).kind)
      for _, field in ipairs({"mode", "user", "group", "device", "inode", "links"}) do
         assert.are.equal("integer", math.type(status[field]))
      end
      for _, field in ipairs({"accessed", "modified", "changed", "created"}) do
         assert.are.equal("float", math.type(status[field]))
      end
      assert.is_true(fs.exists(name))
      assert.is_false(fs.exists(root .. "/none"))
      assert.is_false(fs.exists(name .. "/below"))
   end)

   it("lists a folder by name, with the kinds", function()
      local root, _ <close> = folder()
      for _, name in ipairs({"b", "a", "C", "d"}) do put(root .. "/" .. name) end
      assert(fs.mkdir(root .. "/sub"))
      local names, kinds = fs.list(root)
      assert.are.same({"C", "a", "b", "d", "sub"}, names)
      assert.are.same({C = "file", a = "file", b = "file", d = "file", sub = "directory"}, kinds)
      assert.are.same({}, (fs.list(root .. "/sub")))
   end)

   it("names function, path and code in its errors", function()
      local root, _ <close> = folder()
      local file, none = put(root .. "/file"), root .. "/none"
      assert(fs.mkdir(root .. "/full"))
      put(root .. "/full/x")
      local code, message = failure(fs.stat(none))
      assert.are.same({"ENOENT", "stat " .. none .. ": no such file or directory"}, {code, message})
      assert.are.equal("ENOENT", (failure(fs.list(none))))
      assert.are.equal("ENOTDIR", (failure(fs.list(file))))
      assert.are.equal("EEXIST", (failure(fs.mkdir(file))))
      assert.are.equal("EEXIST", (failure(fs.mkdir(file, {parents = true}))))
      assert.are.equal("ENOENT", (failure(fs.remove(none))))
      code, message = failure(fs.remove(root .. "/full"))
      assert.are.same({"ENOTEMPTY", ("remove %s/full: directory not empty"):format(root)}, {code, message})
      code, message = failure(fs.rename(none, file))
      assert.are.same({"ENOENT", ("rename %s, %s: no such file or directory"):format(none, file)}, {code, message})
      assert.are.equal("EEXIST", (failure(fs.copy(file, root .. "/full/x", {exclusive = true}))))
   end)

   it("takes no zero in a path for its end, and no option that it does not know", function()
      for _, call in ipairs({fs.stat, fs.lstat, fs.list, fs.mkdir, fs.remove, fs.realpath, fs.readlink, fs.watch}) do
         kit.raises("a path without zeros in it expected", call, "a\0b")
      end
      kit.raises("a path without zeros in it expected", fs.rename, "a", "b\0")
      kit.raises("a path without zeros in it expected", fs.temp_file, {prefix = "a\0"})
      kit.raises("unknown option 'parent'", fs.mkdir, "x", {parent = true})
      kit.raises("number expected", fs.chmod, "x")
      kit.raises("a mode from 0", fs.chmod, "x", 1 << 20)
      kit.raises("a mode from 0", fs.chmod, "x", 1 << 40)
      kit.raises("fs_spec.lua:", function() fs.mkdir("x", {mode = "r"}) end)
      kit.raises("bad argument #2 to 'saros.fs.mkdir' (option 'mode': integer expected)", fs.mkdir, "x", {mode = "r"})
      kit.raises("bad argument #2 to 'saros.fs.walk' (option 'depth': number expected)", fs.walk, "x", {depth = "1"})
      kit.raises("bad argument #2 to 'saros.fs.remove' (table expected, got boolean)", fs.remove, "x", true)
      kit.raises("bad argument #3 to 'saros.fs.copy' (unknown option 'force')", fs.copy, "x", "y", {force = true})
      kit.raises("bad argument #1 to 'saros.fs.temp_file' (option 'dir': string expected)", fs.temp_file, {dir = 5})
      kit.raises("bad argument #1 to 'saros.fs.list' (string expected, got nil)", fs.list)
      kit.raises("bad argument #2 to 'saros.fs.symlink' (string expected, got nil)", fs.symlink, "x")
      kit.raises("bad argument #1 to 'saros.fs.exists' (a path without zeros in it expected)", fs.exists, "")
   end)

   it("makes folders with those above them, and removes all of them", function()
      local root, _ <close> = folder()
      local deep = root .. "/a/b/c"
      assert.are.equal("ENOENT", (failure(fs.mkdir(deep))))
      assert.is_true(fs.mkdir(deep, {parents = true}))
      assert.is_true(fs.mkdir(deep .. "/", {parents = true}))
      put(deep .. "/x")
      put(root .. "/a/y")
      assert.is_true(fs.remove(root .. "/a", {recursive = true}))
      assert.is_false(fs.exists(root .. "/a"))
      assert.is_true(fs.remove(put(root .. "/z"), {recursive = true}))
   end)

   it("renames and copies files", function()
      local root, _ <close> = folder()
      local one, two = put(root .. "/one", ("x"):rep(100000)), root .. "/two"
      assert.is_true(fs.copy(one, two))
      assert.are.equal(kit.slurp(one), kit.slurp(two))
      assert.is_true(fs.rename(two, root .. "/three"))
      assert.is_false(fs.exists(two))
      assert.is_true(fs.rename(root .. "/three", one)) -- over another
      assert.are.same({"one"}, (fs.list(root)))
   end)

   it("makes files and folders that nobody has", function()
      local root, _ <close> = folder()
      local one <close> = assert(fs.temp_file({dir = root, prefix = "mine-"}))
      local two <close> = assert(fs.temp_file({dir = root}))
      one:write("one")
      two:write("two")
      local names = fs.list(root)
      assert.are.equal(2, #names)
      assert.is_truthy(names[1]:match("^mine%-......$"))
      assert.are.equal("one", kit.slurp(root .. "/" .. names[1]))
      one:seek("set", 0)
      assert.are.equal("one", one:read("a"))
      assert.are.equal("ENOENT", (failure(fs.temp_file({dir = root .. "/none"}))))
   end)

   it("leaves nothing temporary where its caller was cancelled, whenever that was", function()
      local root, _ <close> = folder()
      local given, keep = 0, {}
      for round = 1, 40 do
         local task = saros.spawn(function()
            keep[#keep + 1] = (round % 2 == 0 and fs.temp_file or fs.temp_dir)({dir = root})
            given = given + 1
         end)
         kit.turns(round // 2 % 3)
         local stop = os.clock() + round // 6 % 3 / 1000 -- perhaps it is made meanwhile, and not told
         repeat until os.clock() >= stop
         task:cancel()
         saros.pcall(task.await, task)
      end
      kit.wait_until(function() return #fs.list(root) == given end)
      for _, file in ipairs(keep) do
         if type(file) ~= "string" then file:close() end
      end
   end)

   it_posix("has links, modes and times", function()
      local root, _ <close> = folder()
      local file, link = put(root .. "/file"), root .. "/link"
      assert.is_true(fs.symlink("file", link))
      assert.are.same({"link", "file", "file"}, {fs.lstat(link).kind, fs.stat(link).kind, fs.readlink(link)})
      assert.are.equal(fs.realpath(file), fs.realpath(link))
      assert.is_true(fs.link(file, root .. "/hard"))
      assert.are.equal(2, fs.stat(file).links)
      assert.is_true(fs.chmod(file, 384))
      assert.are.equal(384, fs.stat(file).mode)
      assert.is_true(fs.utime(file, 1, 1000000000.25))
      assert.are.equal(1000000000.25, fs.stat(file).modified)
      assert(fs.mkdir(root .. "/sub"))
      put(root .. "/sub/kept")
      assert.is_true(fs.symlink("sub", root .. "/to_sub"))
      assert.is_true(fs.remove(root .. "/to_sub", {recursive = true})) -- the link, and not what it leads to
      assert.is_true(fs.exists(root .. "/sub/kept"))
   end)

   it("walks a tree: a folder before what is in it, in the order of the names", function()
      local root, _ <close> = folder()
      assert(fs.mkdir(root .. "/b/c", {parents = true}))
      for _, name in ipairs({"a", "b/x", "b/c/y", "d"}) do put(root .. "/" .. name) end
      local function walk(options)
         local found = {}
         for path, kind in fs.walk(root, options) do found[#found + 1] = path:sub(#root + 2) .. " " .. kind end
         return table.concat(found, ", ")
      end
      assert.are.equal("a file, b directory, b/c directory, b/c/y file, b/x file, d file", walk())
      assert.are.equal("a file, b directory, d file", walk({depth = 1}))
      local err = kit.error_of(function()
         for _ in fs.walk(root .. "/none") do error("there is nothing") end
      end)
      assert.are.equal("ENOENT", saros.error_code(err))
      local told = {}
      for path in fs.walk(root, {on_error = function(...) told[#told + 1] = {...} end}) do
         if path:sub(-2) == "/b" then assert(fs.remove(path, {recursive = true})) end
      end
      assert.are.equal(1, #told)
      assert.are.same({root .. "/b", "ENOENT"}, {told[1][1], told[1][3]})
   end)

   it("that is cancelled goes on at once", function()
      local root, _ <close> = folder()
      for i = 1, 30 do
         local task = saros.spawn(fs.mkdir, root .. "/" .. i)
         kit.turns(i % 3)
         task:cancel()
         saros.pcall(saros.await, task)
      end
   end)
end)

describe("saros.fs.watch", function()
   it_watches("tells what changes in a folder, until it is closed", function()
      local root, _ <close> = folder()
      local watcher = assert(fs.watch(root))
      local seen = {}
      local task = saros.spawn(function()
         for what, name in watcher do
            seen[tostring(name)] = what
            if name == "last" then return end
         end
      end)
      put(root .. "/first", "x")
      assert(fs.rename(root .. "/first", root .. "/second"))
      put(root .. "/last")
      saros.await(task)
      for _, name in ipairs({"first", "second", "last"}) do assert.is_truthy(seen[name], name) end
      task = saros.spawn(function()
         local count = 0
         for _ in watcher do count = count + 1 end
         return count
      end)
      kit.turns(2)
      assert.is_true(watcher:close())
      saros.await(task)
      assert.is_true(watcher:close())
      assert.are.equal("ECLOSED", (failure(watcher:wait())))
   end)

   it_watches("keeps what comes while nobody waits, and loses nothing to who was cancelled", function()
      local root, _ <close> = folder()
      local watcher <close> = assert(fs.watch(root))
      local task = saros.spawn(watcher.wait, watcher)
      kit.turns(2)
      task:cancel()
      assert.is_false((saros.pcall(saros.await, task)))
      put(root .. "/kept")
      local _, name = watcher:wait()
      assert.are.equal("kept", name)
   end)

   it_watches("says that changes were lost", function()
      local root, _ <close> = folder()
      local watcher <close> = assert(fs.watch(root))
      for i = 1, 400 do
         local name = ("%s/%s%d"):format(root, ("n"):rep(200), i)
         put(name)
         assert(fs.remove(name))
      end
      local count = 0
      while watcher:wait() ~= "overflow" do count = count + 1 end
      assert.is_true(count > 100)
      put(root .. "/after")
      local what, name
      repeat what, name = watcher:wait() until name == "after"
      assert.are_not.equal("overflow", what)
   end)

   it_watches("names the path where it fails", function()
      local code, message = failure(fs.watch("/no/such/folder"))
      assert.are.same({"ENOENT", "watch /no/such/folder: no such file or directory"}, {code, message})
   end)

   it_watches("is closed where nobody refers to it any more", function()
      local root, _ <close> = folder()
      local output, code = kit.script(([[
         saros.fs.watch(%q)
         collectgarbage()
         collectgarbage()
         saros.sleep(0)
      ]]):format(root))
      assert.are.same({"", 0}, {output, code})
   end)

   it("is ENOSYS in a simulated world", function()
      if kit.driver ~= "sim" then kit.skip("this one is real") end
      assert.are.equal("ENOSYS", (failure(fs.watch("."))))
   end)
end)

local NAME <const> = "follow"

describe("examples: follow", function()
   it_watches("prints what is written, through a rotation and where the file is cut short", function()
      if not kit.on_best_driver() then kit.skip("tried on the best driver") end
      if kit.windows then kit.skip("no processes here") end
      local root, _ <close> = folder()
      local log = put(root .. "/log", "one\ntwo\nthree\n")
      local example = (debug.getinfo(1, "S").source:match("^@(.*)tests[/\\]spec[/\\]") or "") .. "examples/"
      local child <close> = assert(saros.process.spawn({
         kit.host, example .. NAME .. ".lua", log, "2", stdout = "pipe", stderr = "stdout",
      }))
      local function expect(...)
         for _, line in ipairs({...}) do
            assert.are.equal(line, saros.timeout(5, child.stdout.read, child.stdout, "l"))
         end
      end
      local function append(text)
         local file <close> = assert(saros.open(log, "a"))
         assert(file:write(text))
      end
      expect("two", "three")
      append("four\n")
      expect("four")
      append("fi")
      append("ve\n")
      expect("five")
      assert(fs.rename(log, root .. "/log.1"))
      put(log, "six\n")
      expect("six")
      append("seven\n")
      expect("seven")
      put(log, "8\n")
      expect("follow: the file was cut short", "8")
      put(root .. "/other", "not mine\n")
      append("nine\n")
      expect("nine")
   end)
end)
