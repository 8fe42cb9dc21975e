<?php
$s = "Hello World";
printf("%s = %s", $s, md5(base64_encode($s)));
