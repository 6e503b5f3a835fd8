--[[ tenant_cache: read a remembered answer, or learn who is to make it.
  KEYS[1]   generation of the tenant's namespace
  ARGV[1]   begin of its values' keys   ARGV[2]  the value's name    ARGV[3]  a new generation, should there be none
  ARGV[4]   how long a generation lasts, ms      ARGV[5]  how long one may take to make a value, ms
  Returns   {generation, value} if it is there; else {generation, false, 1} to whoever is to make it, and 0 to the others.
  Cost      O(1).
  Keeps     what was made of an earlier generation is never read again: a generation is random, never counted.
  Source    docs/performance.md, "Tenant cache". ]]
local generation = redis.call('GET', KEYS[1])
if not generation then
  generation = ARGV[3]
  redis.call('SET', KEYS[1], generation, 'PX', ARGV[4])
end
local key = ARGV[1] .. generation .. ':' .. ARGV[2]
local value = redis.call('GET', key)
if value then return { generation, value } end
local leads = redis.call('SET', key .. ':making', '1', 'NX', 'PX', ARGV[5])
return { generation, false, leads and 1 or 0 }
