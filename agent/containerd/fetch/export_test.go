package fetch

import "time"

// On a busy machine nodes that are alive do not answer within what they have elsewhere, and each is to count.
func init() { askTime, othersTime, checkTime = time.Minute, time.Minute, time.Minute }
