package service

import (
	"fmt"
	"path/filepath"
	"strings"
)

// LeftStatus is the exit status of a node that has left its cluster: systemd does not start it again. OpenRC is told by Left.
const LeftStatus = 3

// unit is the systemd unit. Containers outlive covey, so only the main process is killed (KillMode), and what they do is not
// counted or limited with it (Delegate, TasksMax). It waits for no network: a node alone starts its pods. It waits for the file system of
// its data directory, also for one that the machine boots without (nofail): below it the node would begin anew.
func unit(program, dataDir string) string {
	return fmt.Sprintf(`# Made by "covey install"; "covey uninstall" removes it. Settings are in %s.
[Unit]
Description=covey, a node that runs containers through the Kubernetes API
After=network.target local-fs.target
RequiresMountsFor=%s
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=%s start
Restart=always
RestartSec=1
RestartPreventExitStatus=%d
WatchdogSec=60
TimeoutStartSec=infinity
TimeoutStopSec=60
KillMode=process
Delegate=yes
TasksMax=infinity
LimitNOFILE=1048576
LimitNPROC=infinity
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
`, ConfigFile, mountsFor(dataDir), program, LeftStatus)
}

// mountsFor is the directory as systemd reads it, and where it is if there are links in it, which systemd does not follow.
func mountsFor(dir string) string {
	text := quoted(dir)
	if place, err := filepath.EvalSymlinks(dir); err == nil && place != filepath.Clean(dir) {
		text += " " + quoted(place)
	}
	return text
}

func quoted(path string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%").Replace(path) + `"`
}

// script is the OpenRC service. Its supervisor ends covey alone; rc_cgroup_cleanup would end containers too. Shells differ in what they
// call the limit of processes, which containers inherit. As in the unit covey is the last that the kernel ends when memory is short.
func script(program, _ string) string {
	return fmt.Sprintf(`#!/sbin/openrc-run
# Made by "covey install"; "covey uninstall" removes it. Settings are in %[1]s.
name="covey"
description="a node that runs containers through the Kubernetes API"
supervisor="supervise-daemon"
command="%[2]s"
command_args="start"
respawn_delay=1
respawn_max=0
retry="TERM/60/KILL/5"
output_log="%[3]s"
error_log="%[3]s"
rc_ulimit="-n 1048576"
rc_cgroup_cleanup="no"

depend() {
	use localmount cgroups
	after net firewall
}

start_pre() {
	ulimit -u unlimited 2>/dev/null || ulimit -p unlimited 2>/dev/null
	echo -999 2>/dev/null >/proc/self/oom_score_adj
	return 0
}
`, ConfigFile, program, LogFile)
}
