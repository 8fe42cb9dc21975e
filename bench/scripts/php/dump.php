<?php
$cgi = ["REQUEST_METHOD" => 1, "QUERY_STRING" => 1, "SERVER_PROTOCOL" => 1, "REMOTE_ADDR" => 1];
$lines = [];
foreach ($_SERVER as $name => $value) {
    if (isset($cgi[$name]) || str_starts_with($name, "HTTP_")) {
        $lines[] = "$name=$value\n";
    }
}
sort($lines, SORT_STRING);
echo implode("", $lines);
