local bytes = require("bytes")
function test_sha1()
  assert(bytes.sha1("") == "da39a3ee5e6b4b0d3255bfef95601890afd80709", bytes.sha1(""))
  assert(bytes.sha1("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d")
  assert(bytes.sha1(("a"):rep(200)) == "e61cfffe0d9195a525fc6cf06ca2d77119c24a40")
end
function test_doubles()
  for _, n in ipairs { 0, 1, -1, 0.1, 1e300, -2.5e-300, 2 ^ 52 } do
    assert(bytes.unpack_double(bytes.pack_double(n)) == n, n)
  end
  assert(bytes.pack_double(1) == "\63\240\0\0\0\0\0\0")
end
function test_base64()
  assert(bytes.base64("") == "" and bytes.base64("f") == "Zg==" and bytes.base64("foobar") == "Zm9vYmFy")
end
function test_some_way_to_work_with_bits() assert(bytes.kind == "library" or bytes.kind == "operators") end
