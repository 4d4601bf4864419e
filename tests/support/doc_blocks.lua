-- doc_blocks.lua: what the documents promise, taken out of their Markdown so that a test can hold them to it.
--
-- The convention, which every reader of Markdown shows as usual (it looks at the first word behind ``` only):
--
--    ```lua            a complete program: it runs in the host and ends with exit code 0
--    ```lua saros …    the same, with these options of the host: ```lua saros --driver sim --seed 42
--    ```text output    what the program before it prints, to the letter, and nothing else
--    ```lua fragment   a part of a program: it has to be Lua, and is not run
--    ```sh             commands of the house, a line each: the host's are run, of the others the script is there
--    ```c              C that compiles: declarations, or what stands in a function
--    anything else     is for people
--
-- Owns nothing. Promises: lines are counted from 1, as an editor shows them; what is inside a block is no prose.
local doc_blocks = {}

-- The document as a list of blocks {words=, text=, line=} and the prose between them as a list of {text=, line=}.
function doc_blocks.parse(text)
   local blocks, prose, open, number = {}, {}, nil, 0
   for line in (text:gsub("\n*$", "\n")):gmatch("(.-)\n") do
      number = number + 1
      local fence, info = line:match("^(```+)(.*)$")
      if open and line == open.fence then
         blocks[#blocks + 1] = {words = open.words, text = table.concat(open, "\n") .. "\n", line = open.line}
         open = nil
      elseif open then
         open[#open + 1] = line
      elseif fence then
         open = {fence = fence, words = info:match("^%s*(.-)%s*$"), line = number}
      else
         prose[#prose + 1] = {text = line, line = number}
      end
   end
   if open then error("the block that begins in line " .. open.line .. " has no end", 0) end
   return blocks, prose
end

-- The complete programs as {text=, line=, options=, output=}: options are a list of words; output is nil where the
-- document does not say.
function doc_blocks.programs(blocks)
   local programs, last = {}, nil
   for _, block in ipairs(blocks) do
      if block.words == "text output" then
         if not last then error("line " .. block.line .. ": the output of which program?", 0) end
         last.output, last = block.text, nil
      else
         local words = block.words == "lua" and "" or block.words:match("^lua saros (.+)$")
         last = words and {text = block.text, line = block.line, options = {}} or nil
         for word in (words or ""):gmatch("%S+") do table.insert(last.options, word) end
         programs[#programs + 1] = last
      end
   end
   return programs
end

function doc_blocks.fragments(blocks)
   local fragments = {}
   for _, block in ipairs(blocks) do
      if block.words == "lua fragment" then fragments[#fragments + 1] = block end
   end
   return fragments
end

-- The commands as {text=, line=}, without what is said about them.
function doc_blocks.commands(blocks)
   local commands = {}
   for _, block in ipairs(blocks) do
      if block.words == "sh" then
         local number = block.line
         for line in block.text:gmatch("(.-)\n") do
            number = number + 1
            local text = line:gsub("%s+#.*$", "")
            if text:match("%S") then commands[#commands + 1] = {text = text, line = number} end
         end
      end
   end
   return commands
end

-- The pieces of C as {text=, line=}.
function doc_blocks.c(blocks)
   local pieces = {}
   for _, block in ipairs(blocks) do
      if block.words == "c" then pieces[#pieces + 1] = {text = block.text, line = block.line} end
   end
   return pieces
end

-- Where the prose links to, as {target=, line=}: files of ours only, without the part behind "#".
function doc_blocks.links(prose)
   local links = {}
   for _, piece in ipairs(prose) do
      for target in piece.text:gmatch("%]%(([^)%s]+)%)") do
         local file = target:gsub("#.*$", "")
         if file ~= "" and not file:match("^%a+:") then links[#links + 1] = {target = file, line = piece.line} end
      end
   end
   return links
end

-- What the prose names in `code`, as {text=, line=}.
function doc_blocks.names(prose)
   local names = {}
   for _, piece in ipairs(prose) do
      for text in piece.text:gmatch("`([^`]+)`") do names[#names + 1] = {text = text, line = piece.line} end
   end
   return names
end

return doc_blocks
