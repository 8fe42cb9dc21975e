<?php
$s = "Hello World";
echo $s;
