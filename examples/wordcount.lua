-- Shows:  a word count over a real folder: in one process, with a Pool, and around a Queue
-- Run:    lua5.4 examples/wordcount.lua [folder [workers]]      (the default is /usr/share/doc)
-- Prints: the files found, files per second and speed-up of each way, and the most frequent words
local mp = require "multiprocessing"

local TOP = 10 -- so many words are shown
local BATCHES_PER_WORKER = 4 -- small enough to spread the work, large enough to keep messages few

-- Finding the work ------------------------------------------------------------------------------

local function shell_quoted(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

-- The file's text, or nil for what cannot be read, is empty, or holds a zero byte as no text does.
local function read_text(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  if text and text ~= "" and not text:find("\0", 1, true) then return text end
end

-- A list of {path =, bytes =}. Everything is read once here, so that no way of counting has to
-- wait for the disk while another finds its files in memory.
local function text_files(folder)
  local files, bytes = {}, 0
  local find <close> = assert(io.popen("find " .. shell_quoted(folder)
    .. " -type f ! -name '*.gz' ! -path '*/.git/*' ! -path './build/*' 2>/dev/null"))
  for path in find:lines() do
    local text = read_text(path)
    if text then
      files[#files + 1] = {path = path, bytes = #text}
      bytes = bytes + #text
    end
  end
  return files, bytes
end

-- Lists of paths, each list about as many bytes as any other: the largest file goes first, always
-- to the list that has the least so far.
local function batches_of(files, count)
  table.sort(files, function(a, b) return a.bytes > b.bytes end)
  local batches, sizes = {}, {}
  for i = 1, math.min(count, #files) do batches[i], sizes[i] = {}, 0 end
  for _, file in ipairs(files) do
    local least = 1
    for i = 2, #sizes do
      if sizes[i] < sizes[least] then least = i end
    end
    table.insert(batches[least], file.path)
    sizes[least] = sizes[least] + file.bytes
  end
  return batches
end

-- Counting --------------------------------------------------------------------------------------

local function count_text(text, counts)
  for word in text:lower():gmatch("[%a\128-\255][%w'\128-\255]*") do
    counts[word] = (counts[word] or 0) + 1
  end
end

local function count_batch(paths)
  local counts = {}
  for _, path in ipairs(paths) do
    count_text(read_text(path) or "", counts)
  end
  return counts
end

local function add_up(total, counts)
  for word, n in pairs(counts) do
    total[word] = (total[word] or 0) + n
  end
end

-- The three ways --------------------------------------------------------------------------------

local function in_one_process(batches)
  local total = {}
  for _, paths in ipairs(batches) do
    for _, path in ipairs(paths) do
      count_text(read_text(path) or "", total)
    end
  end
  return total
end

local function with_a_pool(batches, workers)
  local total = {}
  local pool <close> = mp.Pool(workers)
  for _, counts in pool:imap_unordered(count_batch, batches) do
    add_up(total, counts)
  end
  return total
end

-- Each process takes batches until there are no more, and reports once.
local function counter(work, reports)
  local counts = {}
  for _, paths in work:items() do
    add_up(counts, count_batch(paths))
  end
  reports:put(counts)
end

local function around_a_queue(batches, workers)
  local work, reports = mp.Queue(), mp.Queue()
  local processes = {}
  for i = 1, workers do
    processes[i] = mp.Process{target = counter, args = {work, reports}}
    processes[i]:start()
  end
  work:put_many(batches)
  work:shutdown()
  local total = {}
  for _ = 1, workers do add_up(total, reports:get()) end
  for _, process in ipairs(processes) do process:join() end
  return total
end

-- The report ------------------------------------------------------------------------------------

local function timed(count, ...)
  collectgarbage()
  local start = mp.monotonic()
  local total = count(...)
  return total, mp.monotonic() - start
end

local function same(a, b)
  for word, n in pairs(a) do
    if b[word] ~= n then return false end
  end
  for word in pairs(b) do
    if a[word] == nil then return false end
  end
  return true
end

local function top_words(total)
  local words = {}
  for word in pairs(total) do words[#words + 1] = word end
  table.sort(words, function(a, b)
    if total[a] ~= total[b] then return total[a] > total[b] end
    return a < b
  end)
  return words
end

local function print_words(total)
  local words = top_words(total)
  print(("the most frequent of %d different words:"):format(#words))
  for i = 1, math.min(TOP, #words) do
    print(("%10d  %s"):format(total[words[i]], words[i]))
  end
end

-- The folder's text; where there is none, this project's own, and it is said.
local function choose(folder)
  local files, bytes = text_files(folder)
  if #files > 0 then return folder, files, bytes end
  local own = (arg[0]:match("^(.*)/examples/[^/]*$") or arg[0]:match("/") and "." or "..")
  print(("no text below %s: counting this project's own text instead"):format(folder))
  return own, text_files(own)
end

local function main(folder, workers)
  local files, bytes
  folder, files, bytes = choose(folder)
  assert(#files > 0, "no text files below " .. folder)
  local batches = batches_of(files, workers * BATCHES_PER_WORKER)
  print(("%d text files, %.1f MB, below %s"):format(#files, bytes / 1e6, folder))

  local total, alone = timed(in_one_process, batches)
  local line = "%-28s %7.2f s %8.0f files/s"
  print(line:format("one process", alone, #files / alone))
  local function compare(name, way)
    local counts, seconds = timed(way, batches, workers)
    assert(same(total, counts), name .. " counted something else than one process did")
    print((line .. "   speed-up %.2f"):format(name, seconds, #files / seconds, alone / seconds))
  end
  compare(("a Pool of %d"):format(workers), with_a_pool)
  compare(("%d processes and a Queue"):format(workers), around_a_queue)
  print_words(total)
end

main(arg[1] or "/usr/share/doc", tonumber(arg[2]) or mp.process_cpu_count())
