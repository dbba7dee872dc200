static int protected =
  PROTECTED_MODE 1
;
