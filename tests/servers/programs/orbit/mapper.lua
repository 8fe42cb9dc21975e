-- Models in memory, with as much of Orbit's mapper as its blog uses.
local MAY = 1715000000
local rows = {
  post = {
    { id = 1, title = "First post", body = "It *begins*.", published_at = MAY, n_comments = 0 },
    { id = 2, title = "Second post", body = "It goes on.", published_at = MAY + 40 * 86400, n_comments = 0 },
  },
  comment = {},
  page = { { id = 1, title = "About us", body = "We are **few**." } },
}

local mapper = {}

function mapper.new(_, name)
  local model = { rows = assert(rows[name:match("%a+$")], name) }
  model.__index = model

  local function wrapped(row) return setmetatable(row, model) end

  function model.find(_, id)
    for _, row in ipairs(model.rows) do if row.id == id then return wrapped(row) end end
  end
  function model.find_all(_, condition, options)
    options = type(condition) == "table" and condition or options or {}
    local found = {}
    for _, row in ipairs(model.rows) do
      if not options[2] or row.published_at >= options[1] and row.published_at < options[2] then
        found[#found + 1] = wrapped(row)
      end
    end
    if options.order then table.sort(found, function(a, b) return a.published_at > b.published_at end) end
    return found
  end
  function model.find_all_by_post_id(_, values)
    local found = {}
    for _, row in ipairs(model.rows) do
      if row.post_id == values[1] then found[#found + 1] = wrapped(row) end
    end
    return found
  end
  function model.new() return wrapped { created_at = MAY } end
  function model.save(row)
    if not row.id then
      row.id = #model.rows + 1
      model.rows[row.id] = row
    end
  end
  return model
end

return mapper
