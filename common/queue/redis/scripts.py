"""What Redis does in one step for the queue: each text is a script, atomic and replicated whole.

A consumer is called ``<instance>.<token>``, and the token of 16 hex digits stands in its receipts:
that, with the number of the delivery, says whether a message is still its own.
"""

TOKEN_LENGTH = 16

_OFFSET = """
local function offset(id) return tonumber(string.match(id, '%d+$')) end
"""

_BURY = """
local function bury(id, attempts, reason, words)
  local found = redis.call('XRANGE', KEYS[1], id, id)
  if found[1] then
    local fields = found[1][2]
    for i = 1, #fields, 2 do
      if fields[i] == 'p' then
        redis.call('XADD', KEYS[2], '*', 'p', fields[i + 1], 'o', offset(id), 'n', attempts,
          'r', reason, 'e', words, 'i', 'redis:' .. ARGV[2] .. ':' .. offset(id))
      end
    end
  end
  redis.call('XACK', KEYS[1], ARGV[1], id)
end
"""

# ARGV: group, ..., and from `first` on threes of first offset, last offset, delivery of a receipt.
_OWNED = """
local function owned(i)
  local first, last, delivery = tonumber(ARGV[i]), tonumber(ARGV[i + 1]), ARGV[i + 2]
  local ids = {}
  local rows = redis.call('XPENDING', KEYS[1], ARGV[1], '0-' .. first, '0-' .. last,
    last - first + 1)
  for _, row in ipairs(rows) do
    if string.sub(row[2], -16) .. string.format('%x', row[4]) == delivery then
      ids[#ids + 1] = row
    end
  end
  return ids
end
"""

# KEYS stream, sent; ARGV how many messages were just added, for how many ms that is remembered.
REMEMBER = (
    _OFFSET
    + """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
redis.call('SET', KEYS[2], offset(last[1][1]) - ARGV[1] + 1, 'PX', ARGV[2])
"""
)

# KEYS stream; ARGV group, receipts. Answers how many of each were acked.
ACK = (
    _OWNED
    + """
local counts = {}
for i = 2, #ARGV, 3 do
  local ids = owned(i)
  for _, row in ipairs(ids) do redis.call('XACK', KEYS[1], ARGV[1], row[1]) end
  counts[#counts + 1] = #ids
end
return counts
"""
)

# KEYS stream, dead; ARGV group, partition, words, receipts.
REJECT = (
    _OFFSET
    + _BURY
    + _OWNED
    + """
local counts = {}
for i = 4, #ARGV, 3 do
  local ids = owned(i)
  for _, row in ipairs(ids) do bury(row[1], row[4], 'REJECTED', ARGV[3]) end
  counts[#counts + 1] = #ids
end
return counts
"""
)

# KEYS stream; ARGV group, how long ago it was delivered as Redis is to think, receipts.
EXTEND = (
    _OWNED
    + """
local counts = {}
for i = 3, #ARGV, 3 do
  local ids = owned(i)
  for _, row in ipairs(ids) do
    redis.call('XCLAIM', KEYS[1], ARGV[1], row[2], 0, row[1], 'IDLE', ARGV[2], 'JUSTID')
  end
  counts[#counts + 1] = #ids
end
return counts
"""
)

# KEYS stream, dead; ARGV group, partition, consumer, visibility in ms, how many, delivery limit.
# Answers {id, attempt, fields} of each message whose time is over and that is this consumer's now.
RECLAIM = (
    _OFFSET
    + _BURY
    + """
local found = {}
local rows = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[4], '-', '+', ARGV[5])
for _, row in ipairs(rows) do
  if row[4] >= tonumber(ARGV[6]) then
    bury(row[1], row[4], 'DELIVERY_LIMIT', 'delivered ' .. row[4] .. ' times and never settled')
  else
    local got = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], ARGV[4], row[1])
    if got[1] then found[#found + 1] = {row[1], row[4] + 1, got[1][2]} end
  end
end
return found
"""
)

# KEYS stream; ARGV group, consumer, visibility in ms. What it still has is another's at once.
RELEASE = """
local rows = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 100000, ARGV[2])
for _, row in ipairs(rows) do
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, row[1], 'IDLE', ARGV[3], 'JUSTID')
end
if #rows == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
return #rows
"""

# KEYS stream; ARGV group. Answers what the group has still to settle.
LAG = (
    _OFFSET
    + """
local last, length = 0, redis.call('XLEN', KEYS[1])
local info = redis.call('XINFO', 'STREAM', KEYS[1])
for i = 1, #info, 2 do
  if info[i] == 'last-generated-id' then last = offset(info[i + 1]) end
end
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local fields = {}
  for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
  if fields['name'] == ARGV[1] then
    local at = math.max(offset(fields['last-delivered-id']), last - length)
    return last - at + fields['pending']
  end
end
return redis.error_reply('NOGROUP no such group')
"""
)

# KEYS stream; ARGV group, idle ms after which a consumer that has nothing is forgotten.
# Lets go of what every group has settled. Answers how many entries that were.
TIDY = (
    _OFFSET
    + """
local floor
for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local fields = {}
  for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
  local at = offset(fields['last-delivered-id']) + 1
  if fields['pending'] > 0 then
    at = math.min(at, offset(redis.call('XPENDING', KEYS[1], fields['name'])[2]))
  end
  floor = math.min(floor or at, at)
end
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local fields = {}
  for i = 1, #consumer, 2 do fields[consumer[i]] = consumer[i + 1] end
  if fields['pending'] == 0 and fields['idle'] > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], fields['name'])
  end
end
return redis.call('XTRIM', KEYS[1], 'MINID', '~', '0-' .. floor)
"""
)

# KEYS dead, ids; ARGV how many ids are remembered, and fives of id, offset, attempts, words,
# payload. Answers how many were new.
BURY_LETTERS = """
local new = 0
local now = redis.call('TIME')
for i = 2, #ARGV, 5 do
  if redis.call('ZADD', KEYS[2], 'NX', now[1], ARGV[i]) == 1 then
    redis.call('XADD', KEYS[1], '*', 'p', ARGV[i + 4], 'o', ARGV[i + 1], 'n', ARGV[i + 2],
      'r', 'REJECTED', 'e', ARGV[i + 3], 'i', ARGV[i])
    new = new + 1
  end
end
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - ARGV[1])
return new
"""

# KEYS dead, stream; ARGV id, group. Answers 1 if the letter was there and is a message again.
REDRIVE = """
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
if not found[1] then return 0 end
local fields = found[1][2]
for i = 1, #fields, 2 do
  if fields[i] == 'p' then
    redis.call('XADD', KEYS[2], '0-*', 'p', fields[i + 1], 'g', ARGV[2])
  end
end
redis.call('XDEL', KEYS[1], ARGV[1])
return 1
"""
