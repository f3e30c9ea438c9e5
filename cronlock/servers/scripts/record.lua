-- The state machine of lock/state_machine.py inside Redis, in one script: each operation is one call, and all keys of a
-- copy share a hash tag.
--
--   KEYS  1 the record (hash)  2 the nodes (hash)  3 the history (list)  4 the turn order (sorted set)
--         5 the key's main record (hash), where the first one belongs to one node (--each)
--   ARGV  1 the operation, by its name in lock/state_machine.py; then name, value, name, value ...
--   returns name, value, name, value ... as texts: "answer" and what lock/state_machine.py's REPORTED names
--
-- Lua's own conversion of numbers keeps 14 digits, so every number goes through to_text().
--
-- The turn order has the nodes that may go first, by the newest tick that each ran. Thousands of nodes may request one
-- tick, so each request reads only its head, and a finish checks only a sample of the nodes for those that are gone.

local LEASE_MAX, CLOCK_LIMIT = 3600000, 60000
local YIELD_STEP, YIELD_MAX = 1200, 5000
local BLANK_RETENTION, RETENTION = 60000, 2592000000
local HISTORY_LENGTH = 100
local SWEEP_MIN, SWEEP_SHARE = 100, 30 -- fields of nodes that a finish checks: this number, or this part of them
local WRITTEN = {'holder', 'lease', 'token', 'tick', 'state', 'attempt', 'voter_set', 'node', 'pid', 'start', 'run_tick',
  'run_attempt', 'command', 'schedule', 'zone', 'next'}
local NUMBERS_REPORTED = {'token', 'tick', 'tick1', 'tick2', 'attempt', 'pid', 'start', 'run_tick', 'run_attempt'}
local TEXTS_REPORTED = {'state', 'kind', 'node', 'outcome', 'voter_set', 'voter_set_by'}
local KEPT_BY_FORGET = {'token', 'voter_set', 'voter_set_by', 'run_id'}
local HISTORY_FIELDS = {'token', 'run_tick', 'run_attempt', 'node', 'pid', 'start', 'end', 'outcome', 'status'}
local HISTORY_TEXTS = {node = true, outcome = true}

local function to_text(value)
  if type(value) == 'number' then return string.format('%.0f', value) end
  return value
end

local request = {}
for i = 2, #ARGV, 2 do request[ARGV[i]] = ARGV[i + 1] end
local function requested(name) return tonumber(request[name]) end

local record = {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
record.voter_set = record.voter_set or record.settings -- its name in protocol 1: shown, so that nodes refuse it
record.voter_set_by = record.voter_set_by or record.settings_by
local function number(name) return tonumber(record[name] or 0) end
local function text(name) return record[name] or '' end
local function set(values)
  local args = {}
  for name, value in pairs(values) do
    record[name] = to_text(value)
    args[#args + 1] = name
    args[#args + 1] = to_text(value)
  end
  redis.call('HSET', KEYS[1], unpack(args))
end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local function info_field(section, pattern) -- without the right to INFO the stamp is empty
  local info = redis.pcall('INFO', section)
  return type(info) == 'string' and string.match(info, pattern) or ''
end
-- A restart changes the run_id, a promotion the replication id.
local run_id = info_field('server', 'run_id:(%x+)')
if run_id ~= '' then run_id = run_id .. '/' .. info_field('replication', 'master_replid:(%x+)') end

local main = KEYS[5] and redis.call('HMGET', KEYS[5], 'paused_until', 'pause_reason')
local function paused_until() return main and tonumber(main[1] or 0) or number('paused_until') end
local function pause_reason() return main and (main[2] or '') or text('pause_reason') end

local function has_live_lease()
  local left = number('lease_end') - now
  return text('holder') ~= '' and left > 0 and left <= LEASE_MAX
end
local function is_current_holder()
  return text('holder') == request.holder and number('token') == requested('token') and text('kind') == 'run'
end
local function owns_tick_state()
  return number('run_tick') ~= 0 and number('run_tick') == number('tick') and text('state') == 'running'
end
local function clear_holder() set({holder = '', kind = '', lease_end = 0}) end
local function notify_run_ended() -- without the right to PUBLISH, waiting nodes poll
  redis.pcall('PUBLISH', KEYS[1], to_text(number('token')))
end
local function count_outcome(outcome, node) redis.call('HINCRBY', KEYS[2], outcome .. ':' .. node, 1) end
local function node_number(name) return tonumber(redis.call('HGET', KEYS[2], name) or 0) end
local function raise_tick(name, tick)
  if tick <= node_number(name) then return false end
  redis.call('HSET', KEYS[2], name, to_text(tick))
  return true
end
local function ensure_expiry(key)
  if number('paused_until') == 0 and redis.call('PTTL', key) == -1 then redis.call('PEXPIRE', key, RETENTION) end
end
local function append_history(outcome)
  local line = {}
  for i, name in ipairs(HISTORY_FIELDS) do
    if name == 'outcome' then line[i] = outcome
    elseif HISTORY_TEXTS[name] then line[i] = text(name)
    else line[i] = to_text(number(name)) end
  end
  redis.call('LPUSH', KEYS[3], table.concat(line, '\t'))
  redis.call('LTRIM', KEYS[3], 0, HISTORY_LENGTH - 1)
  count_outcome(outcome, text('node'))
end
local function record_result()
  local name = 'result:' .. text('node')
  local success = number('end')
  if text('outcome') ~= 'ran' or number('status') ~= 0 then
    success = tonumber(string.match(redis.call('HGET', KEYS[2], name) or '', '%d+$') or 0)
  end
  local result = {to_text(number('start')), to_text(number('end')), text('outcome'), to_text(number('status')),
    to_text(success)}
  redis.call('HSET', KEYS[2], name, table.concat(result, '\t'))
end
local function set_expiry()
  local period = 0
  if number('next') ~= 0 and number('run_tick') ~= 0 then period = number('next') - number('run_tick') end
  local length = to_text(math.max(requested('retention'), period * 3000))
  for i = 1, main and 3 or 4 do -- the turn order belongs to all nodes
    if number('paused_until') ~= 0 then redis.call('PERSIST', KEYS[i]) else redis.call('PEXPIRE', KEYS[i], length) end
  end
end
local function write_run()
  local other = number('token') ~= 0 and number('token') ~= requested('token')
  if other and text('node') ~= '' and text('outcome') == '' then
    append_history('died')
  end
  if number('tick') ~= 0 and requested('tick') > number('tick') then
    set({tick1 = number('tick'), tick2 = number('tick1')})
  end
  if requested('run_tick') ~= 0 and number('missed_tick') == requested('run_tick') then
    set({missed = number('missed') - 1, missed_tick = 0})
  end
  local values = {}
  for _, name in ipairs(WRITTEN) do values[name] = request[name] end
  values.kind, values.lease_end = 'run', now + requested('lease')
  values.voter_set_by, values.run_id = request.by or request.node, run_id
  values.last_outcome = request.last_outcome or record.last_outcome and ''
  values.outcome, values['end'], values.status = '', 0, 0
  set(values)
  if raise_tick('last:' .. request.node, requested('run_tick')) and not main then
    redis.call('ZADD', KEYS[4], to_text(requested('run_tick')), request.node)
  end
  set_expiry()
end

local function refusal()
  if math.abs(requested('time') - now) > CLOCK_LIMIT then return 'clock' end
  local other = text('voter_set') ~= '' and text('voter_set') ~= request.voter_set
  if other and request.adopt ~= '1' then return 'voter_set' end
end
local function takes_over(tick)
  local began = number('attempt') ~= 0 or text('state') == 'back'
  return tick ~= 0 and number('tick') == tick and began and request.again == '0'
end
local function decide()
  local tick = requested('tick')
  if has_live_lease() and text('holder') ~= request.holder then
    if text('kind') == 'prepare' then return 'busy' end
    if number('tick') < tick and number('missed_tick') < tick then
      set({missed = number('missed') + 1, missed_tick = tick})
    end
    return 'held'
  end
  if paused_until() == -1 or paused_until() > now then return 'paused' end
  if tick ~= 0 and number('token') ~= 0 and request.again == '0' then
    if number('tick') > tick then return 'done' end
    if number('tick') == tick and (text('state') == 'done' or number('attempt') >= requested('attempts')) then
      return 'done'
    end
  end
  local start_deadline = requested(takes_over(tick) and 'takeover_deadline' or 'start_deadline')
  if start_deadline ~= 0 and now >= start_deadline then return 'late' end
  return 'ok'
end
local function record_request()
  local tick, name, at = requested('tick'), 'asked:', math.floor(now / 1000)
  if tick ~= 0 then name, at = 'seen:', tick end
  local job = 'job:' .. request.node
  if request.job ~= '' and redis.call('HGET', KEYS[2], job) ~= request.job then
    redis.call('HSET', KEYS[2], job, request.job)
  end
  if not raise_tick(name .. request.node, at) then return end
  if tick ~= 0 and not main and not redis.call('ZSCORE', KEYS[4], request.node) then
    redis.call('ZADD', KEYS[4], to_text(node_number('last:' .. request.node)), request.node)
    ensure_expiry(KEYS[4])
  end
end
local function turn_delay()
  local own, ahead_of, enough = node_number('last:' .. request.node), 0, math.ceil(YIELD_MAX / YIELD_STEP)
  while own > 0 and ahead_of < enough do
    local nodes = redis.call('ZRANGEBYSCORE', KEYS[4], 0, '(' .. to_text(own), 'LIMIT', ahead_of, enough)
    if #nodes == 0 then break end
    for _, node in ipairs(nodes) do
      local seen = node_number('seen:' .. node)
      if seen ~= 0 and seen >= number('tick2') then ahead_of = ahead_of + 1 else redis.call('ZREM', KEYS[4], node) end
    end
  end
  return math.min(ahead_of * YIELD_STEP, YIELD_MAX)
end
local function drop_gone_nodes()
  local count = math.max(SWEEP_MIN, math.floor(redis.call('HLEN', KEYS[2]) / SWEEP_SHARE))
  local last_seen = {}
  for _, name in ipairs(redis.call('HRANDFIELD', KEYS[2], count)) do
    local node = string.match(name, '^[^:]*:(.*)$') or ''
    if not last_seen[node] then
      last_seen[node] = 0
      for _, at in ipairs(redis.call('HMGET', KEYS[2], 'seen:' .. node, 'asked:' .. node, 'last:' .. node)) do
        last_seen[node] = math.max(last_seen[node], tonumber(at or 0))
      end
    end
    if last_seen[node] * 1000 + requested('retention') < now then
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
    if request.adopt ~= '1' then record_request() end
    answer = decide()
  end
  wait = 0
  if answer == 'ok' and request.fair ~= '0' and not main then
    wait = turn_delay()
    if wait > 0 then answer = 'yield' end
  end
  if answer == 'ok' and not (text('holder') == request.holder and text('kind') == 'run') then
    set({holder = request.holder, kind = 'prepare', lease_end = now + requested('lease'), lease = request.lease})
    if number('token') == 0 and number('paused_until') == 0 then redis.call('PEXPIRE', KEYS[1], BLANK_RETENTION) end
  end
  if request.counts ~= '0' and answer ~= 'ok' and answer ~= 'busy' and answer ~= 'yield' then
    count_outcome(answer, request.node)
  end
  ensure_expiry(KEYS[2])
  return answer
end
function operations.commit()
  if now > requested('not_after') then return 'expired' end
  if text('holder') ~= request.holder then return 'other' end
  write_run()
  return 'ok'
end
function operations.extend()
  if now > requested('not_after') then return 'expired' end
  if is_current_holder() then
    set({lease_end = now + requested('lease'), lease = request.lease, run_id = run_id})
    set_expiry()
    return 'ok'
  end
  if text('voter_set') ~= '' and text('voter_set') ~= request.voter_set then return 'voter_set' end
  if number('token') > requested('token') then return 'newer' end
  if has_live_lease() and text('holder') ~= request.holder then return 'busy' end
  write_run()
  return 'ok'
end
function operations.release()
  if text('holder') ~= request.holder then return 'other' end
  if text('kind') == 'run' then
    if owns_tick_state() then set({attempt = math.max(0, number('attempt') - 1)}) end
    set({outcome = 'not run', ['end'] = now})
    notify_run_ended()
  end
  clear_holder()
  return 'ok'
end
function operations.finish()
  if not is_current_holder() then
    local same = number('token') == requested('token') and number('end') == requested('end')
    if same and text('outcome') == request.outcome then
      return 'ok'
    end
    if text('holder') == request.holder and text('kind') == 'prepare' then clear_holder() end
    return 'other'
  end
  if owns_tick_state() then
    set({state = request.state})
    if request.state == 'back' then set({attempt = math.max(0, number('attempt') - 1)}) end
  end
  set({outcome = request.outcome, status = request.status, ['end'] = request['end']})
  clear_holder()
  if request.outcome ~= 'adopted' then
    append_history(request.outcome)
    record_result()
  end
  drop_gone_nodes()
  set_expiry()
  notify_run_ended()
  return 'ok'
end
function operations.read() return 'ok' end
function operations.unlock()
  if text('kind') ~= 'run' or number('token') ~= requested('token') then return 'other' end
  set({outcome = 'unlocked', ['end'] = now})
  clear_holder()
  append_history('unlocked')
  notify_run_ended()
  return 'ok'
end
function operations.forget()
  if has_live_lease() then return text('kind') == 'run' and 'held' or 'busy' end
  local left, remembered = {}, number('token') ~= 0
  for _, name in ipairs(KEPT_BY_FORGET) do left[name] = record[name] end
  record = {}
  redis.call('DEL', KEYS[1], KEYS[3])
  if main then
    for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
      if string.match(name, '^[^:]*:(.*)$') == request.node then redis.call('HDEL', KEYS[2], name) end
    end
  else
    redis.call('DEL', KEYS[2], KEYS[4])
  end
  if remembered then
    left.outcome = 'forgotten'
    set(left)
    set_expiry()
  end
  return 'ok'
end
function operations.pause()
  set({paused_until = request['until'], pause_reason = request.reason, pause_by = request.node})
  set_expiry()
  return 'ok'
end

local answer = operations[ARGV[1]]()
local stamp, left = text('run_id'), 0
if has_live_lease() then left = number('lease_end') - now end
local restarted = stamp ~= '' and run_id ~= '' and stamp ~= run_id
local reply = {'answer', answer, 'now', to_text(now), 'time', to_text(now), 'run_id', run_id,
  'restarted', restarted and '1' or '0', 'left', to_text(left),
  'paused_until', to_text(paused_until()), 'pause_reason', pause_reason()}
local last = #reply
local function add(name, value)
  reply[last + 1], reply[last + 2], last = name, value, last + 2
end
for _, name in ipairs(NUMBERS_REPORTED) do add(name, record[name] or '0') end
for _, name in ipairs(TEXTS_REPORTED) do add(name, record[name] or '') end
if wait then add('wait', to_text(wait)) end
return reply
