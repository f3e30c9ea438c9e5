-- Which of the commands that record.lua calls, and of those that people's commands send, the user may not call.
--
--   KEYS  1 a hash  2 a list: nobody else's names, sharing a hash tag; nothing is left of them
--   returns name, error, name, error ... of the commands that failed
--
-- Without the right to remove what it writes it writes nothing.

local failed = {}
local function may(name, ...)
  local reply = redis.pcall(name, ...)
  if type(reply) ~= 'table' or not reply.err then return true end
  failed[#failed + 1], failed[#failed + 2] = name, reply.err
  return false
end

local hash, list = KEYS[1], KEYS[2]
local deletes = may('DEL', hash, list)
local expires = may('PEXPIRE', hash, 1000)
if deletes or expires then
  may('HSET', hash, 'field', '0')
  may('HINCRBY', hash, 'field', 1)
  may('LPUSH', list, 'line')
end
if expires then
  redis.pcall('PEXPIRE', hash, 1000)
  redis.pcall('PEXPIRE', list, 1000)
end
may('HGETALL', hash)
may('HMGET', hash, 'field')
may('HGET', hash, 'field')
may('PTTL', hash)
may('LRANGE', list, 0, 0)
may('PUBLISH', hash, '')
may('TIME')
may('INFO', 'server')
may('LTRIM', list, 1, 0)
may('HDEL', hash, 'field')
may('PERSIST', hash)
if expires then redis.pcall('PEXPIRE', hash, 1000) end
if deletes then redis.pcall('DEL', hash, list) end
return failed
