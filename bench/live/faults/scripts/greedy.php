<?php
// Takes memory until there is no more.
$all = [];
while (true) {
    $all[] = str_repeat("x", 1000000) . count($all);
}
