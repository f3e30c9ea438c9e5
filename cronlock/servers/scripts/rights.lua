-- Tries the commands of record.lua and of the operators' commands, and returns those that the user has no right to.
--
--   KEYS  1 a hash  2 a list  3 a sorted set: names that no other client uses, sharing a hash tag; the script removes them
--   returns name, error, name, error ... of the commands that failed
--
-- Without the right to remove its keys the script writes nothing.

local failed = {}
local function may(name, ...)
  local reply = redis.pcall(name, ...)
  if type(reply) ~= 'table' or not reply.err then return true end
  failed[#failed + 1], failed[#failed + 2] = name, reply.err
  return false
end

local hash, list, set = KEYS[1], KEYS[2], KEYS[3]
local deletes = may('DEL', hash, list, set)
local expires = may('PEXPIRE', hash, 1000)
if deletes or expires then
  may('HSET', hash, 'field', '0')
  may('HINCRBY', hash, 'field', 1)
  may('LPUSH', list, 'line')
  may('ZADD', set, 0, 'member')
end
if expires then
  redis.pcall('PEXPIRE', hash, 1000)
  redis.pcall('PEXPIRE', list, 1000)
  redis.pcall('PEXPIRE', set, 1000)
end
may('HGETALL', hash)
may('HMGET', hash, 'field')
may('HGET', hash, 'field')
may('HKEYS', hash)
may('HLEN', hash)
may('HRANDFIELD', hash, 1)
may('ZRANGEBYSCORE', set, 0, 0)
may('ZSCORE', set, 'member')
may('PTTL', hash)
may('LRANGE', list, 0, 0)
may('PUBLISH', hash, '')
may('TIME')
may('INFO', 'server')
may('LTRIM', list, 1, 0)
may('HDEL', hash, 'field')
may('ZREM', set, 'member')
may('PERSIST', hash)
if expires then redis.pcall('PEXPIRE', hash, 1000) end
if deletes then redis.pcall('DEL', hash, list, set) end
return failed
