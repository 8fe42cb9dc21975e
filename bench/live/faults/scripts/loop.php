<?php
// Never ends.
while (true);
