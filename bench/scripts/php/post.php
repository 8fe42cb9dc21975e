<?php
$body = file_get_contents("php://input");
printf("%d %s", strlen($body), substr($body, -16));
