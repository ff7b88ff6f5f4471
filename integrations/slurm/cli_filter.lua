-- kilowait for every user of a cluster: a time limit and a comment for batch jobs that have none.
--
-- Put it beside slurm.conf as cli_filter.lua, with CliFilterPlugins=lua in slurm.conf on the hosts where jobs are
-- submitted. It asks kilowait's service with curl, for at most LIMIT_S seconds; whatever goes wrong, the job is submitted
-- as it is, and nothing is said. What a user set is never changed, and no limit is longer than the partition allows.
--
-- It follows plain scripts alone, of jobs that ask for GPUs: one line that starts `python FILE.py ARGUMENTS`, and beside
-- it only lines that take no time (BRIEF). `kilowait sbatch` does more: it follows launchers and modules, chooses a type,
-- and says what it did.

local URL = os.getenv("KILOWAIT_URL") or "http://127.0.0.1:8000"
local TOKEN = os.getenv("KILOWAIT_TOKEN") or ""
local TYPES = { a100 = "A100", a6000 = "A6000" } -- the site's words for GPU types, and kilowait's
local LIMIT_S = 0.8
local MARGIN_S = 300 -- for what is not predicted: starting Python and CUDA, copying data
local LARGEST = 1000000 -- bytes of a script or program that are sent

local BRIEF = { -- lines beside the program's; a script with any other is left alone, since it may take hours
  "^$", "^#", "^module%s", "^ml%s", "^source%s", "^%.%s", "^conda%s+activate%s", "^export%s", "^[%a_][%w_]*=", "^set%s",
  "^echo$", "^echo%s", "^ulimit%s", "^date$", "^hostname$", "^nvidia%-smi$", "^mkdir%s", "^umask%s", "^exit$", "^wait$",
  "^cd%s+%.$", '^cd%s+"?%${?SLURM_SUBMIT_DIR}?"?$',
}

local function read(path)
  local file = io.open(path, "r")
  if file == nil then return nil end
  local text = file:read("*a")
  file:close()
  if text == nil or #text > LARGEST then return nil end
  return text
end

local function quoted(text)
  local escaped = text:gsub('[%z\1-\31\\"]', function(char)
    return string.format("\\u%04x", char:byte())
  end)
  return '"' .. escaped .. '"'
end

local function list(words)
  local parts = {}
  for _, word in ipairs(words) do parts[#parts + 1] = quoted(word) end
  return "[" .. table.concat(parts, ",") .. "]"
end

local function brief(line)
  if line:sub(1, 1) ~= "#" and line:match("[;&|`\\]") or line:match("%$%(") then return false end
  for _, pattern in ipairs(BRIEF) do
    if line:match(pattern) then return true end
  end
  return false
end

-- The path of the one program that a script starts, and its arguments; nil where it is not as plain as that.
local function program(script, arguments)
  local path, rest, starts = nil, nil, 0
  for line in (script .. "\n"):gmatch("(.-)\n") do
    local code = line:match("^%s*(.-)%s*$")
    local found, after = code:match("^python[%d.]*%s+([%w_./-]+%.py)%s*(.*)$")
    if found == nil then found, after = code:match("^srun%s+python[%d.]*%s+([%w_./-]+%.py)%s*(.*)$") end
    if found ~= nil then
      path, rest, starts = found, after, starts + 1
    elseif not brief(code) then
      return nil
    end
  end
  if starts ~= 1 then return nil end
  local words = {}
  for word in rest:gmatch("%S+") do
    if word == '"$@"' or word == "$@" then
      for _, argument in ipairs(arguments) do words[#words + 1] = argument end
    elseif word:match("[$\"'`|;&<>*?#~!(){}\\]") then
      return nil
    else
      words[#words + 1] = word
    end
  end
  return path, words
end

-- What curl is told stands in files of the user's own: a command line is seen by everybody.
local function ask(body)
  local data, config = os.tmpname(), os.tmpname()
  local file = io.open(data, "w")
  file:write(body)
  file:close()
  file = io.open(config, "w")
  file:write('url = "' .. URL .. '/v1/predict"\nheader = "Content-Type: application/json"\n')
  if TOKEN ~= "" then file:write('header = "Authorization: Bearer ' .. TOKEN .. '"\n') end
  file:write('data-binary = "@' .. data .. '"\nmax-time = ' .. LIMIT_S .. "\nsilent\nfail\n")
  file:close()
  local pipe = io.popen("curl --config " .. config .. " 2>/dev/null", "r")
  local answer = pipe and pipe:read("*a") or ""
  if pipe then pipe:close() end
  os.remove(data)
  os.remove(config)
  return answer
end

-- Everything by which GPUs were asked for, "" where there is nothing or none.
local function asked(options)
  local parts = {}
  for _, name in ipairs({ "gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket" }) do
    if options[name] ~= nil and options[name] ~= "" then parts[#parts + 1] = options[name] end
  end
  parts[#parts + 1] = (options["gres"] or ""):match("gpu[^,]*")
  local text = table.concat(parts, ",")
  return (text == "0" or text:match("gpu:0$")) and "" or text
end

-- The types that the job may get, in kilowait's words; nil where it names one that is not in TYPES.
local function types_of(options)
  local text, named, all = asked(options), {}, {}
  for word, name in pairs(TYPES) do
    all[#all + 1] = name
    if text:find(word, 1, true) then named[#named + 1] = name end
  end
  if #named > 0 then return named end
  return not text:gsub("gpu", ""):match("%a") and all or nil
end

-- sinfo, which runs while the service is asked.
local function partitions()
  return io.popen("timeout " .. LIMIT_S .. " sinfo --noheader --format='%P|%l' 2>/dev/null", "r")
end

-- The minutes of `infinite`, `1-12:30:00`, `2:00:00` or `30:00`; nil for what is none of them.
local function minutes_of(text)
  if text == "infinite" then return math.huge end
  local days, clock = text:match("^(%d+)-(.*)$")
  local hours, minutes = (clock or text):match("^(%d+):(%d+):%d+$")
  if hours == nil then hours, minutes = 0, text:match("^(%d+):%d+$") end
  return minutes and tonumber(days or 0) * 1440 + tonumber(hours) * 60 + tonumber(minutes)
end

-- The most minutes that the partitions of the job allow, nil where sinfo does not say.
local function most_minutes(options, answer)
  local named, most = "," .. (options["partition"] or "") .. ",", nil
  for name, star, limit in answer:gmatch("([^\n|*]+)(%*?)|([^\n]*)") do
    if named:find("," .. name .. ",", 1, true) or (named == ",," and star == "*") then
      local minutes = minutes_of(limit)
      if minutes == nil then return nil end
      most = math.max(most or 0, minutes)
    end
  end
  return most
end

-- How many GPUs were asked for in one of the plain ways, nil where that is left to the program.
local function gpus_of(options)
  local text = options["gpus"] or (options["gres"] or ""):match("gpu.*")
  return text and tonumber(text:match("(%d+)$"))
end

local function advise(options)
  local types = types_of(options)
  if types == nil or asked(options) == "" then return end
  local argv = options["argv"] or {}
  local script = argv[1] and read(argv[1])
  if script == nil then return end
  local arguments = {}
  for place = 2, #argv do arguments[#arguments + 1] = argv[place] end
  local path, words = program(script, arguments)
  local source = path and read(path)
  if source == nil then return end
  local limits = partitions()
  local answer = ask('{"source":' .. quoted(source) .. ',"name":' .. quoted(path:match("[^/]+$")) ..
    ',"arguments":' .. list(words) .. ',"gpu_types":' .. list(types) ..
    (gpus_of(options) and ',"gpus":' .. gpus_of(options) or "") .. "}")
  local most = limits and most_minutes(options, limits:read("*a"))
  if limits then limits:close() end
  local hash = answer:match('"content_hash":"(%x+)"')
  local longest, parts = 0, {}
  for _, name in ipairs(types) do
    local row = answer:match('"' .. name:gsub("%p", "%%%0") .. '":(%b{})') or ""
    local expected, low, high = row:match('"runtime_s":([%d.e+]+)'), row:match('"runtime_low_s":([%d.e+]+)'),
      row:match('"runtime_high_s":([%d.e+]+)')
    if high == nil or row:find("standin", 1, true) then return end
    longest = math.max(longest, tonumber(high))
    parts[#parts + 1] = name .. "=" .. expected .. "," .. low .. "," .. high
  end
  if hash == nil or longest == 0 or most == nil then return end
  local gpus = gpus_of(options) or tonumber(answer:match('"asks_for":{"gpus":(%d+)')) or 1
  local minutes = math.min(math.ceil((longest + MARGIN_S) / 60), most)
  return minutes, "kilowait:" .. hash:sub(1, 16) .. ";gpus=" .. gpus .. ";" .. table.concat(parts, ";")
end

-- An unset limit is nil, or the largest number of minutes that there is.
local function unset(value)
  return value == nil or value == "" or value == "2982616-04:14:00" or value == "-2" or value == "INVALID"
end

function slurm_cli_setup_defaults(options, early_pass)
  return slurm.SUCCESS
end

function slurm_cli_pre_submit(options, offset)
  if options["type"] ~= "sbatch" or offset > 0 or not unset(options["time"]) then return slurm.SUCCESS end
  local well, minutes, comment = pcall(advise, options)
  if well and minutes ~= nil then
    options["time"] = tostring(minutes)
    if unset(options["comment"]) then options["comment"] = comment end
  end
  return slurm.SUCCESS
end

function slurm_cli_post_submit(offset, job_id, step_id)
  return slurm.SUCCESS
end
