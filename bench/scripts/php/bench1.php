<?php
$s = "Hello World";
for ($i = 1; $i <= 100; $i++) {
    printf("%s%d = %s\n", $s, $i, md5(base64_encode($s . $i)));
}
