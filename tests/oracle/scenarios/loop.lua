-- loop.lua: scenarios of the loop: callbacks, timers, the order of things, the end of run().
local saros = require "saros"
local oracle = require "oracle.oracle"
local scenario, say, turns, T = oracle.scenario, oracle.say, oracle.turns, oracle.T
local attempt, refused, wrong = oracle.attempt, oracle.refused, oracle.wrong

scenario("1: call_soon is first in, first out", [[
   loop = get_running_loop()
   for i in range(5):
      loop.call_soon(say, i)
   say("queued")
   await turns()
]], function()
   for i = 0, 4 do saros.call_soon(say, i) end
   say("queued")
   turns()
end)

scenario("1: what a callback adds waits for the next batch", [[
   loop = get_running_loop()
   def first():
      say("first")
      loop.call_soon(say, "added")
   loop.call_soon(first)
   loop.call_soon(say, "second")
   await turns()
   say("main")
   await turns()
]], function()
   saros.call_soon(function()
      say("first")
      saros.call_soon(say, "added")
   end)
   saros.call_soon(say, "second")
   turns()
   say("main")
   turns()
end)

scenario("1: a callback that adds itself again and again starves nobody", [[
   loop, count = get_running_loop(), 0
   def again():
      nonlocal count
      count += 1
      if count < 1000:
         loop.call_soon(again)
   again()
   task = create_task(sleep(0, "other"))
   say(await task, count < 1000)
   count = 1000
   await turns(2)
]], function()
   local count = 0
   local function again()
      count = count + 1
      if count < 1000 then saros.call_soon(again) end
   end
   again()
   local task = saros.spawn(function()
      turns()
      return "other"
   end)
   say(task:await(), count < 1000)
   count = 1000
   turns(2)
end)

scenario("1: a cancelled handle does not run", [[
   loop = get_running_loop()
   one = loop.call_soon(say, "one")
   loop.call_soon(say, "two")
   late = loop.call_later(T, say, "late")
   one.cancel()
   late.cancel()
   await sleep(2 * T)
]], function()
   local one = saros.call_soon(say, "one")
   saros.call_soon(say, "two")
   local late = saros.call_later(T, say, "late")
   one:cancel()
   late:cancel()
   saros.sleep(2 * T)
end)

scenario("1: a callback cancels another one of the same batch", [[
   loop = get_running_loop()
   handles = []
   loop.call_soon(lambda: handles[0].cancel())
   handles.append(loop.call_soon(say, "never"))
   loop.call_soon(say, "last")
   await turns(2)
]], function()
   local handle
   saros.call_soon(function() handle:cancel() end)
   handle = saros.call_soon(say, "never")
   saros.call_soon(say, "last")
   turns(2)
end)

scenario("2: what is ready comes before a timer that is due later", [[
   loop = get_running_loop()
   loop.call_later(T, say, "timer")
   loop.call_soon(say, "soon")
   create_task(turns(1)).add_done_callback(lambda t: say("task"))
   await sleep(2 * T)
]], function()
   saros.call_later(T, say, "timer")
   saros.call_soon(say, "soon")
   saros.spawn(turns, 1):add_done_callback(function() say("task") end)
   saros.sleep(2 * T)
end)

scenario("3: timers fire by their deadlines, not in the order of their start", [[
   loop = get_running_loop()
   for n in (3, 1, 2):
      loop.call_later(n * T, say, n)
   await sleep(4 * T)
]], function()
   for _, n in ipairs({ 3, 1, 2 }) do saros.call_later(n * T, say, n) end
   saros.sleep(4 * T)
end)

scenario("3: sleepers wake by their deadlines", [[
   async def sleeper(n):
      await sleep(n * T)
      say(n)
   await gather(*[sleeper(n) for n in (4, 2, 3, 1)])
]], function()
   local tasks = {}
   for i, n in ipairs({ 4, 2, 3, 1 }) do
      tasks[i] = saros.spawn(function()
         saros.sleep(n * T)
         say(n)
      end)
   end
   saros.gather(tasks)
end)

scenario("4: a deadline in the past comes with the next iteration, and call_at uses the clock of now", [[
   loop = get_running_loop()
   loop.call_at(loop.time() - 1, say, "past")
   loop.call_at(loop.time() + T, say, "at")
   loop.call_later(-1, say, "negative")
   say("main")
   await turns(2)
   say("two turns")
   await sleep(2 * T)
]], function()
   saros.call_at(saros.now() - 1, say, "past")
   saros.call_at(saros.now() + T, say, "at")
   saros.call_later(-1, say, "negative")
   say("main")
   turns(2)
   say("two turns")
   saros.sleep(2 * T)
end)

scenario("4: the clock does not stand still, and a sleep is never shorter than was asked", [[
   loop = get_running_loop()
   before = loop.time()
   await sleep(T)
   say(loop.time() - before >= T * 0.99, loop.time() - before < 100 * T)
]], function()
   local before = saros.now()
   saros.sleep(T)
   say(saros.now() - before >= T * 0.99, saros.now() - before < 100 * T)
end)

scenario("6: run_until_complete gives the main function's result, and raises its error", [[
   import threading
   def other():
      async def fine(): return 7
      async def bad(): raise Wrong("no luck")
      loop = new_event_loop()
      say(loop.run_until_complete(fine()))
      try:
         loop.run_until_complete(bad())
      except Wrong as error:
         say(error)
      loop.close()
   thread = threading.Thread(target=other)
   thread.start()
   thread.join()
]], function()
   local loop <close> = saros.loop()
   say(loop:run(function() return 7 end))
   say(attempt(loop.run, loop, function() wrong("no luck") end))
end)

scenario("6: run_forever goes on until stop, which finishes its batch", [[
   import threading
   def other():
      loop = new_event_loop()
      loop.call_soon(say, "one")
      loop.call_soon(loop.stop)
      loop.call_soon(say, "two")
      loop.call_later(50, say, "never")
      loop.run_forever()
      say("stopped")
      loop.close()
   thread = threading.Thread(target=other)
   thread.start()
   thread.join()
]], function()
   local loop <close> = saros.loop()
   loop:call_soon(say, "one")
   loop:call_soon(loop.stop, loop)
   loop:call_soon(say, "two")
   local task = loop:spawn(saros.sleep, 50)
   loop:run_forever()
   say("stopped")
   task:cancel()
end)

scenario("6: run_until_complete fails where the loop was stopped first", [[
   import threading
   def other():
      loop = new_event_loop()
      loop.call_soon(loop.stop)
      main = loop.create_task(sleep(50))
      say(refused(loop.run_until_complete, main))
      main.cancel()
      loop.run_until_complete(wait([main]))
      loop.close()
   thread = threading.Thread(target=other)
   thread.start()
   thread.join()
]], function()
   local loop <close> = saros.loop()
   loop:call_soon(loop.stop, loop)
   say(refused(loop.run, loop, saros.sleep, 50))
end)

scenario("6: close comes twice, and then the loop is refused", [[
   loop = new_event_loop()
   loop.close()
   loop.close()
   say(refused(loop.call_soon, say, "never"))
]], function()
   local loop = saros.loop()
   loop:close()
   loop:close()
   say(refused(loop.call_soon, loop, say, "never"))
end)

scenario("7: the same loop does not run inside itself", [[
   loop = get_running_loop()
   say(loop.is_running())
   say(refused(loop.run_forever))
]], function()
   local loop = saros.current_loop()
   say(loop:is_running())
   say(refused(loop.run_forever, loop))
end)

scenario("7: between two awaits no other task runs", [[
   place = 0
   async def other():
      nonlocal place
      while place < 3:
         place += 1
         say("other", place)
         await turns()
   task = create_task(other())
   for i in range(100):
      place += 0
   say("main", place)
   await task
]], function()
   local place = 0
   local task = saros.spawn(function()
      while place < 3 do
         place = place + 1
         say("other", place)
         turns()
      end
   end)
   for _ = 1, 100 do place = place + 0 end
   say("main", place)
   task:await()
end)

scenario("8: what is left when main ends is cancelled, and waited for", [[
   async def left():
      try:
         await sleep(1000)
      except CancelledError:
         say("cancelled")
         raise
      finally:
         say("cleaned up")
   task = create_task(left())
   await turns()
   say("main ends")
]], function()
   saros.spawn(function()
      local ok, err = saros.pcall(saros.sleep, 1000)
      if not ok then say("cancelled") end
      say("cleaned up")
      error(err, 0)
   end)
   turns()
   say("main ends")
end)

scenario{"8: what was left and never began", [[
   async def left():
      say("began")
   space = create_task(left())
   say("main ends")
]], function()
   saros.spawn(function() say("began") end)
   say("main ends")
end, differs = "asyncio runs another batch after main; here what is left is cancelled when main ends", ours = { "main ends" }}

scenario("9: an error in a callback ends neither the loop nor the callbacks behind it", [[
   loop = get_running_loop()
   def bad():
      say("bad")
      raise Wrong("callback")
   loop.call_soon(bad)
   loop.call_soon(say, "next")
   await turns()
   say("main")
]], function()
   saros.call_soon(function()
      say("bad")
      wrong("callback")
   end)
   saros.call_soon(say, "next")
   turns()
   say("main")
end)

scenario("9: the loop's exception handler is told of a callback's error", [[
   loop = get_running_loop()
   loop.set_exception_handler(lambda loop, context: say("told", context["exception"]))
   def bad(): raise Wrong("callback")
   loop.call_soon(bad)
   await turns()
   say("main")
]], function()
   saros.current_loop():set_exception_handler(function(context) say("told", context.error) end)
   saros.call_soon(wrong, "callback")
   turns()
   say("main")
end)

scenario("14: an error that nobody fetched is told, once", [[
   get_running_loop().set_exception_handler(lambda loop, context: say("told", context["exception"]))
   async def bad(): raise Wrong("bad")
   task = create_task(bad())
   await turns(2)
   say("main ends", task.done())
]], function()
   saros.current_loop():set_exception_handler(function(context) say("told", context.error) end)
   local task = saros.spawn(wrong, "bad")
   turns(2)
   say("main ends", task:done())
end)

scenario("14: an error that somebody fetched, and a cancellation, are not told", [[
   get_running_loop().set_exception_handler(lambda loop, context: say("told", context["exception"]))
   async def bad(): raise Wrong("bad")
   awaited, read, cancelled = create_task(bad()), create_task(bad()), create_task(sleep(1000))
   await turns(2)
   cancelled.cancel()
   say(await attempt(awaited), why(read.exception()))
   await turns(2)
   say("main ends", cancelled.cancelled())
]], function()
   saros.current_loop():set_exception_handler(function(context) say("told", context.error) end)
   local awaited, read, cancelled = saros.spawn(wrong, "bad"), saros.spawn(wrong, "bad"), saros.spawn(saros.sleep, 1000)
   turns(2)
   cancelled:cancel()
   say(attempt(awaited.await, awaited), read:error())
   turns(2)
   say("main ends", cancelled:cancelled())
end)

scenario("9: an error in a callback does not keep a loop from going on", [[
   loop = get_running_loop()
   told = []
   loop.set_exception_handler(lambda loop, context: told.append(context["exception"]))
   def bad(n): raise Wrong("bad")
   for n in range(3):
      loop.call_later(n * T, bad, n)
   await sleep(4 * T)
   say(len(told))
]], function()
   local told = 0
   saros.current_loop():set_exception_handler(function() told = told + 1 end)
   for n = 0, 2 do saros.call_later(n * T, wrong, "bad") end
   saros.sleep(4 * T)
   say(told)
end)
