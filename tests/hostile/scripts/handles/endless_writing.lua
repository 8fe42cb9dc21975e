-- attack: write to the standard streams without end, bytes without a line's end
-- expect: budget cpu
function main()
  while true do
    io.write("x", "", 1)
    io.stderr:write("\n")
    io.stdout:write("")
  end
end
