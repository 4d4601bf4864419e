-- futures.lua: scenarios of futures: states, callbacks, awaiting.
local saros = require "saros"
local oracle = require "oracle.oracle"
local scenario, say, turns, T = oracle.scenario, oracle.say, oracle.turns, oracle.T
local attempt, refused, wrong, why = oracle.attempt, oracle.refused, oracle.wrong, oracle.why

scenario("11: a future's states go one way", [[
   future = Future()
   say(future.done(), future.cancelled())
   future.set_result(1)
   say(future.done(), future.cancelled(), future.result())
   say(refused(future.set_result, 2), refused(future.set_exception, Wrong("late")), future.result())
]], function()
   local future = saros.future()
   say(future:done(), future:cancelled())
   future:set_result(1)
   say(future:done(), future:cancelled(), future:result())
   say(refused(future.set_result, future, 2), refused(future.set_error, future, { wrong = "late" }), future:result())
end)

scenario("11: reading a pending future is refused", [[
   future = Future()
   say(refused(future.result), refused(future.exception))
   future.cancel()
]], function()
   local future = saros.future()
   say(refused(future.result, future), refused(future.error, future))
   future:cancel()
end)

scenario("11: reading a failed future raises its error, or gives it", [[
   future = Future()
   future.set_exception(Wrong("no luck"))
   say(why(future.exception()))
   try:
      future.result()
   except Wrong as error:
      say("raised", error)
]], function()
   local future = saros.future()
   future:set_error({ wrong = "no luck" })
   say(future:error())
   local _, err = saros.pcall(future.result, future)
   say("raised", err)
end)

scenario("11: reading a cancelled future raises the cancellation", [[
   future = Future()
   say(future.cancel(), future.cancelled(), future.done())
   for read in (future.result, future.exception):
      try:
         read()
      except CancelledError:
         say("cancelled")
]], function()
   local future = saros.future()
   say(future:cancel(), future:cancelled(), future:done())
   for _, read in ipairs({ future.result, future.error }) do
      local ok, err = saros.pcall(read, future)
      if not ok then say(why(err)) end
   end
end)

scenario("12: done callbacks come in the order of their addition, and never at once", [[
   future = Future()
   for i in range(3):
      future.add_done_callback(lambda f, i=i: say(i, f is future))
   future.set_result(None)
   say("set")
   await turns()
   say("main")
]], function()
   local future = saros.future()
   for i = 0, 2 do future:add_done_callback(function(f) say(i, f == future) end) end
   future:set_result(nil)
   say("set")
   turns()
   say("main")
end)

scenario("12: a callback that is added after the end is called too, later", [[
   future = Future()
   future.set_result(1)
   future.add_done_callback(lambda f: say("called", f.result()))
   say("added")
   await turns()
]], function()
   local future = saros.future()
   future:set_result(1)
   future:add_done_callback(function(f) say("called", f:result()) end)
   say("added")
   turns()
end)

scenario("12: remove_done_callback takes away all that are equal, and says how many", [[
   future = Future()
   def one(f): say("one")
   def two(f): say("two")
   for callback in (one, two, one):
      future.add_done_callback(callback)
   say(future.remove_done_callback(one), future.remove_done_callback(one))
   future.set_result(None)
   await turns()
]], function()
   local future = saros.future()
   local function one() say("one") end
   local function two() say("two") end
   for _, callback in ipairs({ one, two, one }) do future:add_done_callback(callback) end
   say(future:remove_done_callback(one), future:remove_done_callback(one))
   future:set_result(nil)
   turns()
end)

scenario("12: a callback that fails does not keep the others from being called", [[
   future = Future()
   def bad(f): raise Wrong("callback")
   future.add_done_callback(bad)
   future.add_done_callback(lambda f: say("next"))
   future.set_result(None)
   await turns()
   say("main")
]], function()
   local future = saros.future()
   future:add_done_callback(function() wrong("callback") end)
   future:add_done_callback(function() say("next") end)
   future:set_result(nil)
   turns()
   say("main")
end)

scenario{"12: callbacks and waiters of one future", [[
   future = Future()
   async def waiter(n):
      await future
      say("waiter", n)
   tasks = [create_task(waiter(1))]
   await turns()
   future.add_done_callback(lambda f: say("callback"))
   tasks.append(create_task(waiter(2)))
   await turns()
   future.set_result(None)
   await gather(*tasks)
]], function()
   local future = saros.future()
   local function waiter(n)
      future:await()
      say("waiter", n)
   end
   local tasks = { saros.spawn(waiter, 1) }
   turns()
   future:add_done_callback(function() say("callback") end)
   tasks[2] = saros.spawn(waiter, 2)
   turns()
   future:set_result(nil)
   saros.gather(tasks)
end, differs = "done callbacks are told before waiters; each of the two in the order in which they came",
   ours = { "callback", "waiter 1", "waiter 2" }}

scenario("13: cancelling a future that is done is false and changes nothing", [[
   future = Future()
   future.set_result("kept")
   say(future.cancel(), future.cancelled(), future.result())
]], function()
   local future = saros.future()
   future:set_result("kept")
   say(future:cancel(), future:cancelled(), future:result())
end)

scenario("13: a future is cancelled once", [[
   future = Future()
   say(future.cancel(), future.cancel(), refused(future.set_result, 1))
]], function()
   local future = saros.future()
   say(future:cancel(), future:cancel(), refused(future.set_result, future, 1))
end)

scenario("11: awaiting gives the result, raises the error, and does so again and again", [[
   fine, bad = Future(), Future()
   get_running_loop().call_soon(fine.set_result, "result")
   get_running_loop().call_soon(bad.set_exception, Wrong("no luck"))
   for i in range(2):
      say(await fine)
      say(await attempt(bad))
]], function()
   local fine, bad = saros.future(), saros.future()
   saros.call_soon(fine.set_result, fine, "result")
   saros.call_soon(bad.set_error, bad, { wrong = "no luck" })
   for _ = 1, 2 do
      say(fine:await())
      say(attempt(bad.await, bad))
   end
end)

scenario("49: awaiting a future that is done does not give way", [[
   future = Future()
   future.set_result("at once")
   get_running_loop().call_soon(say, "callback")
   say(await future)
   await turns()
]], function()
   local future = saros.future()
   future:set_result("at once")
   saros.call_soon(say, "callback")
   say(future:await())
   turns()
end)

scenario("11: several tasks await one future, and each gets the result", [[
   future = Future()
   async def waiter(n):
      say(n, await future)
   tasks = [create_task(waiter(n)) for n in range(3)]
   await sleep(T)
   future.set_result("shared")
   await gather(*tasks)
]], function()
   local future, tasks = saros.future(), {}
   for n = 0, 2 do tasks[n + 1] = saros.spawn(function() say(n, future:await()) end) end
   saros.sleep(T)
   future:set_result("shared")
   saros.gather(tasks)
end)

scenario("11: a cancelled future is a cancellation for whoever awaits it", [[
   future = Future()
   get_running_loop().call_soon(future.cancel)
   say(await attempt(future))
   say("main goes on")
]], function()
   local future = saros.future()
   saros.call_soon(future.cancel, future)
   say(attempt(future.await, future))
   say("main goes on")
end)

scenario("15: a task that awaits itself is refused", [[
   async def me():
      await turns()
      return await attempt(task)
   task = create_task(me())
   say(await task)
]], function()
   local task
   task = saros.spawn(function()
      turns()
      return attempt(task.await, task)
   end)
   say(task:await())
end)

scenario("15: a task of another loop is refused", [[
   import threading
   other = new_event_loop()
   task = other.create_task(sleep(1000))
   say(await attempt(task))
   task.cancel()
   thread = threading.Thread(target=lambda: other.run_until_complete(wait([task])))
   thread.start()
   thread.join()
   other.close()
]], function()
   local other <close> = saros.loop()
   local task = other:spawn(saros.sleep, 1000)
   say(attempt(task.await, task))
end)
