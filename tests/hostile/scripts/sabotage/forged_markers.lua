-- attack: error pages and logs full of markup
-- expect: 500 <script>alert(1)</script>
function main() error("<script>alert(1)</script>\r\n\r\nHTTP/1.1 200 OK", 0) end
