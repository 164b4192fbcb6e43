package support

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
)

func podTables() map[reflect.Type]Table {
	return map[reflect.Type]Table{
		of[corev1.PodSpec]():            podSpec(),
		of[corev1.PodSecurityContext](): podSecurity(),
		of[corev1.Toleration](): {
			"key": acted(), "operator": acted(), "value": acted(), "effect": acted(), "tolerationSeconds": acted(),
		},
		of[corev1.PodReadinessGate](): {"conditionType": acted()},
		of[corev1.Sysctl]():           {"name": acted(), "value": acted()},
		of[corev1.PodOS](): {
			"name": refused("covey's nodes run Linux").unless(corev1.Linux).inPart(),
		},
	}
}

func podSpec() Table {
	t := Table{
		"volumes": acted(), "containers": acted(), "initContainers": acted("One after the other; those with restartPolicy Always go on beside the main containers."),
		"restartPolicy": acted(), "terminationGracePeriodSeconds": acted(), "activeDeadlineSeconds": acted(),
		"dnsPolicy": acted("Until there is a cluster DNS, all policies but None give the machine's resolver configuration."), "dnsConfig": acted(),
		"nodeSelector": acted(), "nodeName": acted(), "affinity": acted(), "tolerations": acted(), "topologySpreadConstraints": acted(),
		"schedulerName":   acted("Pods that name another scheduler wait for it."),
		"schedulingGates": acted(), "priorityClassName": acted(), "preemptionPolicy": acted(),
		"priority":    acted("Comes from the class. Higher ones are placed first, and in the place of lower ones when nothing else is free."),
		"overhead":    acted("Counts as requested."),
		"hostNetwork": acted(), "hostPID": acted(), "readinessGates": acted(), "shareProcessNamespace": acted(), "hostIPC": acted(), "securityContext": acted(),
		"ephemeralContainers": acted("Added to a pod that runs, through the subresource."), "imagePullSecrets": acted(), "hostname": acted(), "hostnameOverride": acted(), "hostAliases": acted(), "os": acted(),

		"hostUsers":      acted("Without the machine's users a pod has 65536 of its own. Files of volumes keep their owners, for which the file system has to allow mounts with mapped users."),
		"resourceClaims": refused("there is no dynamic resource allocation"),
	}
	for name, rule := range podWarnings() {
		t[name] = rule
	}
	return t
}

// podWarnings are the fields of a pod that are stored and have no effect.
func podWarnings() Table {
	return Table{
		"subdomain":                    warned("there is no cluster DNS yet"),
		"setHostnameAsFQDN":            warned("there is no cluster DNS yet").unless(false),
		"automountServiceAccountToken": warned("no tokens are mounted into pods").unless(false),
		"serviceAccountName":           warned("no tokens are mounted into pods").unless("default"),
		"serviceAccount":               when(warned("the old name of serviceAccountName"), func(corev1.PodSpec, string) bool { return false }),
		"enableServiceLinks":           warned("there are no Services yet").unless(true, false),
		"runtimeClassName":             warned("all containers run with runc"),
		"resources":                    warned("set the resources of each container"),
		"schedulingGroup":              warned("pods are placed one by one"),
		"evictionResponders":           warned("nothing asks before an eviction"),
	}
}

func podSecurity() Table {
	return Table{
		"runAsUser": acted(), "runAsGroup": acted(), "runAsNonRoot": acted(), "supplementalGroups": acted(),
		"seccompProfile":           acted("RuntimeDefault where nothing is said."),
		"fsGroup":                  acted("For emptyDir and the volumes made of ConfigMaps, Secrets and pod fields."),
		"fsGroupChangePolicy":      warned("it is for kinds of volumes that do not exist here"),
		"supplementalGroupsPolicy": acted(),
		"sysctls":                  acted("Those that are not safe fail the pod, but for what the node allows (--allowed-unsafe-sysctls)."),
		"seLinuxOptions":           warned("SELinux labels are not set"),
		"seLinuxChangePolicy":      warned("SELinux labels are not set"),
		"appArmorProfile":          acted(),
		"windowsOptions":           warned("covey's nodes run Linux"),
	}
}
