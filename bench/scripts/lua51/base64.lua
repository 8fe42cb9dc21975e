-- `base64.encode` as scripts of luafcgid expect it, over the C library of Debian's
-- lua-socket.
local b64 = require("mime.core").b64

return {
   encode = function(text)
      return (b64(text, nil))
   end,
}
