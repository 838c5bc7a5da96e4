"""What the event log has a Redis server do in one step, each script one transaction."""

# Keys: log, next offset, held, token, foreign entries. Arguments: seconds to remember the token, then the number of
# events and the bytes of each batch. What another program has put beyond our offsets would bar the way, so it goes.
APPEND = """
local known = redis.call('GET', KEYS[4])
if known then return tonumber(known) end
local first = tonumber(redis.call('GET', KEYS[2]) or '0')
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], string.format('%d-0', first), '+')) do
  redis.call('XADD', KEYS[5], '*', 'reason', 'not an event batch of ours', 'row', cjson.encode(entry[2]))
  redis.call('XDEL', KEYS[1], entry[1])
end
local clock = redis.call('TIME')
local ms = clock[1] * 1000 + math.floor(clock[2] / 1000)
local at = first
for i = 2, #ARGV, 2 do
  local entry = {KEYS[1], string.format('%d-%d', at, ms), 'n', ARGV[i], 'arrow', ARGV[i + 1]}
  local added = redis.pcall('XADD', unpack(entry))
  if type(added) == 'table' and added.err then
    if not string.find(added.err, 'equal or smaller', 1, true) then return redis.error_reply(added.err) end
    -- The stream remembers a foreign id though its entry has gone; only a new stream does not.
    local kept = redis.call('XRANGE', KEYS[1], '-', '+')
    redis.call('DEL', KEYS[1])
    for _, old in ipairs(kept) do redis.call('XADD', KEYS[1], old[1], unpack(old[2])) end
    redis.call('XADD', unpack(entry))
  end
  redis.call('HINCRBY', KEYS[3], 'events', ARGV[i])
  redis.call('HINCRBY', KEYS[3], 'bytes', #ARGV[i + 1])
  at = at + tonumber(ARGV[i])
end
redis.call('SET', KEYS[2], string.format('%d', at))
redis.call('SET', KEYS[4], string.format('%d', first), 'EX', ARGV[1])
return first
"""
# The same, keys and arguments followed by how far the partition has come with another log, and from where to where this
# is: the place moves in the very step that adds the events.
RELAY = f"""
local upto, since = tonumber(table.remove(ARGV)), tonumber(table.remove(ARGV))
local come = tonumber(redis.call('GET', KEYS[6]) or '-1')
if come >= upto then return 0 end
if come > since then return redis.error_reply('OVERTAKEN') end
local function append() {APPEND} end
local added = ARGV[2] and append()
if type(added) == 'table' then return added end
redis.call('SET', KEYS[6], string.format('%d', upto))
return 1
"""
RUN = "return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')"
SAME_RUN = """
if ARGV[1] ~= '' and string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') ~= ARGV[1] then
  return redis.error_reply('REWOUND')
end
"""
# Key: log. Arguments: the run, where to begin, how many events and how many bytes are enough.
READ = (
    SAME_RUN
    + """
local found, events, bytes, from, count = {}, 0, 0, ARGV[2], 4
while true do
  local some = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', count)
  for _, entry in ipairs(some) do
    found[#found + 1] = entry
    events, bytes = events + (tonumber(entry[2][2]) or 0), bytes + #(entry[2][4] or '')
    if events >= tonumber(ARGV[3]) or bytes >= tonumber(ARGV[4]) then return found end
    from = '(' .. entry[1]
  end
  if #some < count then return found end
  count = math.min(2 * count, 256)
end
"""
)
# Arguments: the run, the new value, what there is when there is nothing.
RAISE = (
    SAME_RUN
    + """
local known = tonumber(redis.call('GET', KEYS[1]) or ARGV[3])
if tonumber(ARGV[2]) > known then redis.call('SET', KEYS[1], ARGV[2]) end
return 1
"""
)
# Keys: log, held. Argument: the first offset to keep.
TRIM = """
while true do
  local old = redis.call('XRANGE', KEYS[1], '-', '(' .. ARGV[1] .. '-0', 'COUNT', 64)
  if #old == 0 then return 1 end
  local ids, events, bytes = {}, 0, 0
  for i, entry in ipairs(old) do
    ids[i] = entry[1]
    if entry[2][1] == 'n' and entry[2][3] == 'arrow' then
      events, bytes = events + tonumber(entry[2][2]), bytes + #entry[2][4]
    end
  end
  redis.call('XDEL', KEYS[1], unpack(ids))
  redis.call('HINCRBY', KEYS[2], 'events', -events)
  redis.call('HINCRBY', KEYS[2], 'bytes', -bytes)
end
"""
SINCE = """
local found = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', 1)
return found[1] and found[1][1]
"""
# Keys: dead letters of a partition. Arguments: how many to keep, then offset, reason and row of each.
BURY = """
for i = 2, #ARGV, 3 do
  redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], ARGV[i] .. '-1', 'reason', ARGV[i + 1], 'row', ARGV[i + 2])
end
return 1
"""
