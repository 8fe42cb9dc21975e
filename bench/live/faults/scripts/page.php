<?php
// Numbered lines that say what they are an answer to. The names in capitals are put in by
// a deploy.
$part = include __DIR__ . "/part.php";

function note($word) {  // O_APPEND, and one write(2)
    $line = "$word {$_GET["id"]} {$_SERVER["REQUEST_METHOD"]}\n";
    file_put_contents("@LEDGER@", $line, FILE_APPEND);
}

note("begin");
while (ob_get_level()) {
    ob_end_flush();
}
$digest = "-";
if ($_SERVER["REQUEST_METHOD"] === "POST") {
    $sent = file_get_contents("php://input");
    $digest = strlen($sent) . ":" . substr($sent, -4, 3);
}
$lines = (int)$_GET["lines"];
$pieces = (int)$_GET["pieces"];
$run = getmypid() . "." . hrtime(true);
$start = "{$_GET["id"]} @GENERATION@ $part $run $digest ";
header("Content-Type: text/plain");
if (isset($_GET["length"])) {
    header("Content-Length: " . $lines * (strlen($start) + 6));
}
$line = 0;
for ($piece = 1; $piece <= $pieces; $piece++) {
    usleep((int)((float)$_GET["wait"] * 1e6));
    $text = "";
    while ($line < $lines * $piece / $pieces) {
        $text .= $start . sprintf("%05d\n", ++$line);
    }
    echo $text;
    if ($pieces > 1) {
        flush();
    }
}
note("end");
