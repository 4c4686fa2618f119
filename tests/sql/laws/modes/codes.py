"""The right code, and the calls that take one."""

RIGHT = "0712"  # as weak as an older version allowed
RESUME = "select resumed, message from resume('again', %s)"
CHANGE = "select changed, message from set_override_code('a new code', %s)"
ADOPT = "select adopted, message from adopt('mine now', %s)"
VIEW = "update system_mode set mode = 'NORMAL', reason = 'again', code = %s"
