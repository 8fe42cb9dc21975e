-- What Orbit's blog asks of its configuration, with posts in memory in place of a database.
blog_title = "A blog"
copyright_notice = "Nobody's"
about_blurb = "A blog that Orbit's authors wrote, served by luafarm."
blogroll = { { "http://www.lua.org", "Lua" } }
database = { driver = "sqlite3", conn_data = { "none" } }
recent_count = 7
strings = {
  home_page_name = "Home Page", about_title = "About", last_posts = "Recent Posts",
  blogroll_title = "Links", archive_title = "Archives", anonymous_author = "Anonymous",
  no_posts = "No published posts.", published_at = "Published at", comments = "Comments",
  written_by = "Written by", on_date = "at", new_comment = "New comment",
  no_comment = "You forgot the comment!", form_name = "Name:", form_email = "Email:",
  form_url = "Site:", italics = "italics", bold = "bold", link = "link", send = "Send",
}
function date(time) return os.date("!%Y-%m-%d", time) end
function time(time) return os.date("!%H:%M", time) end
function month(month) return month.date_str end

mapper = require("mapper")

-- The blog looks for its cache here; newer ones use what they require.
require("orbit").cache = require("orbit.cache")
