-- Time limits for jobs that have none, looked up by user and job name in a table: for Slurm's administrators.
--
-- Put it beside slurm.conf as job_submit.lua, with JobSubmitPlugins=lua in slurm.conf where slurmctld runs. The table is
-- what `kilowait learn --sacct live --all-users --limits FILE` writes, by cron. slurmctld holds its locks while this
-- runs, so it asks nobody and runs nothing: the table is read into memory, at most once in RELOAD_S seconds, and only
-- its first LARGEST bytes. What a user set is never changed; without a table, or with a broken one, nothing happens.

local TABLE = "/etc/slurm/kilowait_limits"
local RELOAD_S = 60
local LARGEST = 4000000

local limits, read_at = {}, nil

local function hex(text)
  return (text:gsub(".", function(char) return string.format("%02x", char:byte()) end))
end

local function reload()
  local now = os.time()
  if read_at ~= nil and now - read_at < RELOAD_S and now >= read_at then return end
  read_at = now
  local file = io.open(TABLE, "r")
  if file == nil then
    limits = {}
    return
  end
  local text = file:read(LARGEST) or ""
  file:close()
  local found = {}
  for minutes, user, name in text:gmatch("(%d+) (%x+) (%x+)\n") do
    found[user .. " " .. name] = tonumber(minutes)
  end
  limits = found
end

-- The longest that one of the partitions allows which a job names, or the default one: Slurm starts it where it fits.
local function longest_of(job, partitions)
  local longest = nil
  for name, partition in pairs(partitions or {}) do
    local meant = job.partition == nil and partition.flag_default == 1
    if job.partition ~= nil then meant = ("," .. job.partition .. ","):find("," .. name .. ",", 1, true) ~= nil end
    if meant then longest = math.max(longest or 0, partition.max_time or math.huge) end
  end
  return longest or math.huge
end

local function limit_of(job, partitions)
  reload()
  if job.user_name == nil or job.name == nil then return nil end
  local minutes = limits[hex(job.user_name) .. " " .. hex(job.name)]
  if minutes == nil then return nil end
  return math.min(minutes, longest_of(job, partitions))
end

function slurm_job_submit(job, partitions, uid)
  if job.time_limit ~= slurm.NO_VAL then return slurm.SUCCESS end
  local well, minutes = pcall(limit_of, job, partitions)
  if well and minutes ~= nil and minutes > 0 then job.time_limit = minutes end
  return slurm.SUCCESS
end

function slurm_job_modify(job, record, partitions, uid)
  return slurm.SUCCESS
end

return slurm.SUCCESS
