local dates = require("dates")
function test_there_and_back()
  for _, text in ipairs { "2024-02-29T12:34:56Z", "1999-12-31T23:59:59Z", "2038-01-19T03:14:08Z" } do
    assert(dates.iso(dates.parse(text)) == text, dates.iso(dates.parse(text)))
  end
  assert(dates.parse("soon") == nil)
end
function test_months_are_normalized()
  local january = os.time { year = 2023, month = 1, day = 31, hour = 12 }
  local t = os.date("*t", dates.add_months(january, 13))
  assert(t.year == 2024 and t.month == 3 and t.day == 2, t.month)
end
function test_csv()
  local rows, headers = dates.csv('a,b\n1,"x, ""y"""\n2,\n')
  assert(#rows == 2 and headers[2] == "b" and rows[1].b == 'x, "y"' and rows[2].b == "")
  assert(dates.csv("a;b\n1;2", ";")[1].b == "2")
end
function test_the_clock_goes_forward() assert(os.clock() >= 0 and os.difftime(os.time(), os.time() - 5) == 5) end
