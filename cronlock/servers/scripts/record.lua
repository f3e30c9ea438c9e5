-- The state machine of lock/state_machine.py inside Redis, in one script: each operation is one call, all keys of a copy
-- share a hash tag.
--
--   KEYS  1 the record (hash)  2 the nodes (hash)  3 the history (list)  4 the line (sorted set)
--         5 the key's main record (hash), where the first one is of one node alone
--   ARGV  1 the operation, by its name in lock/state_machine.py; then name, value, name, value ...
--   returns name, value, name, value ... as texts: "answer" and what lock/state_machine.py's REPORTED names
--
-- Lua's own number-to-text conversion keeps 14 digits: every number goes through text().
--
-- The line has the nodes that may go first, by the newest tick that each ran: thousands may ask for one tick, and each
-- looks at its head only. For the same reason a finish looks for nodes that have gone among some of the many.

local LEASE_MAX, CLOCK_LIMIT = 3600000, 60000
local YIELD_STEP, YIELD_MAX = 1200, 5000
local BLANK_RETENTION, RETENTION = 60000, 2592000000
local HISTORY_LENGTH = 100
local SWEPT, SHARE = 100, 30 -- fields of nodes that a finish looks at: so many, or this part of them
local WRITTEN = {'holder', 'lease', 'token', 'tick', 'state', 'attempt', 'voter_set', 'node', 'pid', 'start', 'run_tick',
  'run_attempt', 'command', 'schedule', 'zone', 'next'}
local NUMBERS_REPORTED = {'token', 'tick', 'tick1', 'tick2', 'attempt', 'pid', 'start', 'run_tick', 'run_attempt'}
local TEXTS_REPORTED = {'state', 'kind', 'node', 'outcome', 'voter_set', 'voter_set_by'}
local LEFT = {'token', 'voter_set', 'voter_set_by', 'run_id'}
local ENTRY = {'token', 'run_tick', 'run_attempt', 'node', 'pid', 'start', 'end', 'outcome', 'status'}
local ENTRY_TEXTS = {node = true, outcome = true}

local function text(value)
  if type(value) == 'number' then return string.format('%.0f', value) end
  return value
end

local ask = {}
for i = 2, #ARGV, 2 do ask[ARGV[i]] = ARGV[i + 1] end
local function asked(name) return tonumber(ask[name]) end

local record = {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
record.voter_set = record.voter_set or record.settings -- as protocol 1 called it: shown, so that it is refused
record.voter_set_by = record.voter_set_by or record.settings_by
local function number(name) return tonumber(record[name] or 0) end
local function word(name) return record[name] or '' end
local function set(values)
  local args = {}
  for name, value in pairs(values) do
    record[name] = text(value)
    args[#args + 1] = name
    args[#args + 1] = text(value)
  end
  redis.call('HSET', KEYS[1], unpack(args))
end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local function told(section, pattern) -- without the right to INFO there is no stamp
  local info = redis.pcall('INFO', section)
  return type(info) == 'string' and string.match(info, pattern) or ''
end
local run_id = told('server', 'run_id:(%x+)') -- another one after a restart; and after a promotion another one of these:
if run_id ~= '' then run_id = run_id .. '/' .. told('replication', 'master_replid:(%x+)') end

local main = KEYS[5] and redis.call('HMGET', KEYS[5], 'paused_until', 'pause_reason')
local function paused_until() return main and tonumber(main[1] or 0) or number('paused_until') end
local function pause_reason() return main and (main[2] or '') or word('pause_reason') end

local function live()
  local left = number('lease_end') - now
  return word('holder') ~= '' and left > 0 and left <= LEASE_MAX
end
local function mine()
  return word('holder') == ask.holder and number('token') == asked('token') and word('kind') == 'run'
end
local function claims()
  return number('run_tick') ~= 0 and number('run_tick') == number('tick') and word('state') == 'running'
end
local function clear_holder() set({holder = '', kind = '', lease_end = 0}) end
local function wake() redis.pcall('PUBLISH', KEYS[1], text(number('token'))) end -- without the right to it, others poll
local function count(outcome, node) redis.call('HINCRBY', KEYS[2], outcome .. ':' .. node, 1) end
local function known(name) return tonumber(redis.call('HGET', KEYS[2], name) or 0) end
local function raise(name, tick)
  if tick <= known(name) then return false end
  redis.call('HSET', KEYS[2], name, text(tick))
  return true
end
local function expire_some_day(key)
  if number('paused_until') == 0 and redis.call('PTTL', key) == -1 then redis.call('PEXPIRE', key, RETENTION) end
end
local function remember(outcome)
  local line = {}
  for i, name in ipairs(ENTRY) do
    if name == 'outcome' then line[i] = outcome
    elseif ENTRY_TEXTS[name] then line[i] = word(name)
    else line[i] = text(number(name)) end
  end
  redis.call('LPUSH', KEYS[3], table.concat(line, '\t'))
  redis.call('LTRIM', KEYS[3], 0, HISTORY_LENGTH - 1)
  count(outcome, word('node'))
end
local function keep_result()
  local name = 'result:' .. word('node')
  local success = number('end')
  if word('outcome') ~= 'ran' or number('status') ~= 0 then
    success = tonumber(string.match(redis.call('HGET', KEYS[2], name) or '', '%d+$') or 0)
  end
  local result = {text(number('start')), text(number('end')), word('outcome'), text(number('status')), text(success)}
  redis.call('HSET', KEYS[2], name, table.concat(result, '\t'))
end
local function retain()
  local period = 0
  if number('next') ~= 0 and number('run_tick') ~= 0 then period = number('next') - number('run_tick') end
  local length = text(math.max(asked('retention'), period * 3000))
  for i = 1, main and 3 or 4 do -- the line is that of all nodes
    if number('paused_until') ~= 0 then redis.call('PERSIST', KEYS[i]) else redis.call('PEXPIRE', KEYS[i], length) end
  end
end
local function write()
  if number('token') ~= 0 and number('token') ~= asked('token') and word('node') ~= '' and word('outcome') == '' then
    remember('died')
  end
  if number('tick') ~= 0 and asked('tick') > number('tick') then
    set({tick1 = number('tick'), tick2 = number('tick1')})
  end
  if asked('run_tick') ~= 0 and number('missed_tick') == asked('run_tick') then
    set({missed = number('missed') - 1, missed_tick = 0})
  end
  local values = {}
  for _, name in ipairs(WRITTEN) do values[name] = ask[name] end
  values.kind, values.lease_end = 'run', now + asked('lease')
  values.voter_set_by, values.run_id = ask.by or ask.node, run_id
  values.last_outcome = ask.last_outcome or record.last_outcome and ''
  values.outcome, values['end'], values.status = '', 0, 0
  set(values)
  if raise('last:' .. ask.node, asked('run_tick')) and not main then
    redis.call('ZADD', KEYS[4], text(asked('run_tick')), ask.node)
  end
  retain()
end

local function refusal()
  if math.abs(asked('time') - now) > CLOCK_LIMIT then return 'clock' end
  if word('voter_set') ~= '' and word('voter_set') ~= ask.voter_set and ask.adopt ~= '1' then return 'voter_set' end
end
local function takes_over(tick)
  local began = number('attempt') ~= 0 or word('state') == 'back'
  return tick ~= 0 and number('tick') == tick and began and ask.again == '0'
end
local function judge()
  local tick = asked('tick')
  if live() and word('holder') ~= ask.holder then
    if word('kind') == 'prepare' then return 'busy' end
    if number('tick') < tick and number('missed_tick') < tick then
      set({missed = number('missed') + 1, missed_tick = tick})
    end
    return 'held'
  end
  if paused_until() == -1 or paused_until() > now then return 'paused' end
  if tick ~= 0 and number('token') ~= 0 and ask.again == '0' then
    if number('tick') > tick then return 'done' end
    if number('tick') == tick and (word('state') == 'done' or number('attempt') >= asked('attempts')) then
      return 'done'
    end
  end
  local start_deadline = asked(takes_over(tick) and 'takeover_deadline' or 'start_deadline')
  if start_deadline ~= 0 and now >= start_deadline then return 'late' end
  return 'ok'
end
local function note_seen()
  local tick, name, at = asked('tick'), 'asked:', math.floor(now / 1000)
  if tick ~= 0 then name, at = 'seen:', tick end
  local job = 'job:' .. ask.node
  if ask.job ~= '' and redis.call('HGET', KEYS[2], job) ~= ask.job then redis.call('HSET', KEYS[2], job, ask.job) end
  if not raise(name .. ask.node, at) then return end
  if tick ~= 0 and not main and not redis.call('ZSCORE', KEYS[4], ask.node) then
    redis.call('ZADD', KEYS[4], text(known('last:' .. ask.node)), ask.node)
    expire_some_day(KEYS[4])
  end
end
local function wait_in_line()
  local own, before, enough = known('last:' .. ask.node), 0, math.ceil(YIELD_MAX / YIELD_STEP)
  while own > 0 and before < enough do
    local ahead = redis.call('ZRANGEBYSCORE', KEYS[4], 0, '(' .. text(own), 'LIMIT', before, enough)
    if #ahead == 0 then break end
    for _, node in ipairs(ahead) do
      local seen = known('seen:' .. node)
      if seen ~= 0 and seen >= number('tick2') then before = before + 1 else redis.call('ZREM', KEYS[4], node) end
    end
  end
  return math.min(before * YIELD_STEP, YIELD_MAX)
end
local function sweep()
  local count = math.max(SWEPT, math.floor(redis.call('HLEN', KEYS[2]) / SHARE))
  local heard = {}
  for _, name in ipairs(redis.call('HRANDFIELD', KEYS[2], count)) do
    local node = string.match(name, '^[^:]*:(.*)$') or ''
    if not heard[node] then
      heard[node] = 0
      for _, at in ipairs(redis.call('HMGET', KEYS[2], 'seen:' .. node, 'asked:' .. node, 'last:' .. node)) do
        heard[node] = math.max(heard[node], tonumber(at or 0))
      end
    end
    if heard[node] * 1000 + asked('retention') < now then
      redis.call('HDEL', KEYS[2], name, 'seen:' .. node, 'asked:' .. node, 'last:' .. node)
      if not main then redis.call('ZREM', KEYS[4], node) end
    end
  end
end

local wait = nil
local operations = {}
function operations.prepare()
  local answer = refusal()
  if not answer then
    if ask.adopt ~= '1' then note_seen() end
    answer = judge()
  end
  wait = 0
  if answer == 'ok' and ask.fair ~= '0' and not main then
    wait = wait_in_line()
    if wait > 0 then answer = 'yield' end
  end
  if answer == 'ok' and not (word('holder') == ask.holder and word('kind') == 'run') then
    set({holder = ask.holder, kind = 'prepare', lease_end = now + asked('lease'), lease = ask.lease})
    if number('token') == 0 and number('paused_until') == 0 then redis.call('PEXPIRE', KEYS[1], BLANK_RETENTION) end
  end
  if ask.counts ~= '0' and answer ~= 'ok' and answer ~= 'busy' and answer ~= 'yield' then count(answer, ask.node) end
  expire_some_day(KEYS[2])
  return answer
end
function operations.commit()
  if now > asked('not_after') then return 'expired' end
  if word('holder') ~= ask.holder then return 'other' end
  write()
  return 'ok'
end
function operations.extend()
  if now > asked('not_after') then return 'expired' end
  if mine() then
    set({lease_end = now + asked('lease'), lease = ask.lease, run_id = run_id})
    retain()
    return 'ok'
  end
  if word('voter_set') ~= '' and word('voter_set') ~= ask.voter_set then return 'voter_set' end
  if number('token') > asked('token') then return 'newer' end
  if live() and word('holder') ~= ask.holder then return 'busy' end
  write()
  return 'ok'
end
function operations.release()
  if word('holder') ~= ask.holder then return 'other' end
  if word('kind') == 'run' then
    if claims() then set({attempt = math.max(0, number('attempt') - 1)}) end
    set({outcome = 'not run', ['end'] = now})
    wake()
  end
  clear_holder()
  return 'ok'
end
function operations.finish()
  if not mine() then
    if number('token') == asked('token') and number('end') == asked('end') and word('outcome') == ask.outcome then
      return 'ok'
    end
    if word('holder') == ask.holder and word('kind') == 'prepare' then clear_holder() end
    return 'other'
  end
  if claims() then
    set({state = ask.state})
    if ask.state == 'back' then set({attempt = math.max(0, number('attempt') - 1)}) end
  end
  set({outcome = ask.outcome, status = ask.status, ['end'] = ask['end']})
  clear_holder()
  if ask.outcome ~= 'adopted' then
    remember(ask.outcome)
    keep_result()
  end
  sweep()
  retain()
  wake()
  return 'ok'
end
function operations.look() return 'ok' end
function operations.unlock()
  if word('kind') ~= 'run' or number('token') ~= asked('token') then return 'other' end
  set({outcome = 'unlocked', ['end'] = now})
  clear_holder()
  remember('unlocked')
  wake()
  return 'ok'
end
function operations.forget()
  if live() then return word('kind') == 'run' and 'held' or 'busy' end
  local left, remembered = {}, number('token') ~= 0
  for _, name in ipairs(LEFT) do left[name] = record[name] end
  record = {}
  redis.call('DEL', KEYS[1], KEYS[3])
  if main then
    for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
      if string.match(name, '^[^:]*:(.*)$') == ask.node then redis.call('HDEL', KEYS[2], name) end
    end
  else
    redis.call('DEL', KEYS[2], KEYS[4])
  end
  if remembered then
    left.outcome = 'forgotten'
    set(left)
    retain()
  end
  return 'ok'
end
function operations.pause()
  set({paused_until = ask['until'], pause_reason = ask.reason, pause_by = ask.node})
  retain()
  return 'ok'
end

local answer = operations[ARGV[1]]()
local stamp, left = word('run_id'), 0
if live() then left = number('lease_end') - now end
local restarted = stamp ~= '' and run_id ~= '' and stamp ~= run_id
local reply = {'answer', answer, 'now', text(now), 'time', text(now), 'run_id', run_id,
  'restarted', restarted and '1' or '0', 'left', text(left),
  'paused_until', text(paused_until()), 'pause_reason', pause_reason()}
local last = #reply
local function tell(name, value)
  reply[last + 1], reply[last + 2], last = name, value, last + 2
end
for _, name in ipairs(NUMBERS_REPORTED) do tell(name, record[name] or '0') end
for _, name in ipairs(TEXTS_REPORTED) do tell(name, record[name] or '') end
if wait then tell('wait', text(wait)) end
return reply
