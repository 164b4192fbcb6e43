package support

import (
	"reflect"

	corev1 "k8s.io/api/core/v1"
)

func containerTables() map[reflect.Type]Table {
	return map[reflect.Type]Table{
		of[corev1.EphemeralContainer]():       {"targetContainerName": acted("Its processes are seen; it must run.")},
		of[corev1.EphemeralContainerCommon](): container(),
		of[corev1.Container]():                container(),
		of[corev1.ContainerRestartRule](): {
			"action":    refused("the action is Restart").unless(corev1.ContainerRestartRuleActionRestart).inPart(),
			"exitCodes": acted(),
		},
		of[corev1.ContainerRestartRuleOnExitCodes](): {"operator": acted(), "values": acted()},
		of[corev1.ContainerPort](): {
			"name": acted(), "containerPort": acted(), "protocol": acted(), "hostPort": acted(), "hostIP": acted("IPv4."),
		},
		of[corev1.EnvFromSource](): {"prefix": acted(), "configMapRef": acted(), "secretRef": acted()},
		of[corev1.EnvVar]():        {"name": acted(), "value": acted(), "valueFrom": acted()},
		of[corev1.EnvVarSource](): {
			"fieldRef": acted(), "resourceFieldRef": acted(), "configMapKeyRef": acted(), "secretKeyRef": acted(),
			"fileKeyRef": refused("use configMapKeyRef or secretKeyRef"),
		},
		of[corev1.ResourceRequirements](): {
			"requests": acted("They count when a pod is placed; cpu is the container's weight."),
			"limits": when(warned("only cpu, memory and ephemeral-storage are limited"), func(_ corev1.ResourceRequirements, limits corev1.ResourceList) bool {
				for name := range limits {
					if name != corev1.ResourceCPU && name != corev1.ResourceMemory && name != corev1.ResourceEphemeralStorage {
						return true
					}
				}
				return false
			}).inPart(),
			"claims": refused("there is no dynamic resource allocation"),
		},
		of[corev1.SecurityContext](): {
			"capabilities": acted(), "privileged": acted(), "runAsUser": acted(), "runAsGroup": acted(), "runAsNonRoot": acted(),
			"readOnlyRootFilesystem": acted(), "allowPrivilegeEscalation": acted(), "procMount": acted(), "seccompProfile": acted(), "appArmorProfile": acted("A pod that asks for a profile fails where the kernel has no AppArmor. None is set where nothing is said."),
			"seLinuxOptions": warned("SELinux labels are not set"),
			"windowsOptions": warned("covey's nodes run Linux"),
		},
		of[corev1.AppArmorProfile](): {
			"type": acted("RuntimeDefault is cri-containerd.apparmor.d or docker-default, whichever the node has loaded."), "localhostProfile": acted(),
		},
		of[corev1.SeccompProfile](): {
			"type": acted(), "localhostProfile": acted("A file below seccomp in the node's data directory."),
		},
		of[corev1.VolumeMount](): {
			"name": acted(), "readOnly": acted(), "mountPath": acted(), "subPath": acted(), "subPathExpr": acted(), "mountPropagation": acted(), "recursiveReadOnly": acted(),
			"bindMountOptions": warned("mounts have the usual options"),
		},
	}
}

// actionTables are of what is done to a container from outside: probes and hooks.
func actionTables() map[reflect.Type]Table {
	return map[reflect.Type]Table{
		of[corev1.Probe](): {
			"initialDelaySeconds": acted(), "timeoutSeconds": acted(), "periodSeconds": acted(), "successThreshold": acted(), "failureThreshold": acted(),
			"terminationGracePeriodSeconds": acted(),
		},
		of[corev1.ProbeHandler](): {"exec": acted(), "httpGet": acted(), "tcpSocket": acted(), "grpc": acted()},
		of[corev1.Lifecycle](): {
			"postStart": acted(), "preStop": acted(), "stopSignal": acted("The image's, else SIGTERM, where nothing is said."),
		},
		of[corev1.LifecycleHandler](): {
			"exec": acted(), "httpGet": acted(), "sleep": acted(),
			"tcpSocket": refused("hooks are exec, httpGet or sleep"),
		},
		of[corev1.HTTPGetAction](): {
			"path": acted(), "port": acted(), "host": acted(), "scheme": acted(), "httpHeaders": acted(),
			"protocol": warned("HTTP/1.1 is spoken").unless(corev1.HTTPProtocolHTTP1),
		},
		of[corev1.TCPSocketAction](): {"port": acted(), "host": acted()},
		of[corev1.GRPCAction](): {
			"port": acted(), "service": acted(),
			"mode": warned("the connection is not encrypted").unless(corev1.GRPCProbeModePlaintext),
		},
	}
}

// container is of all kinds of containers.
func container() Table {
	return Table{
		"name": acted(), "image": acted(), "command": acted(), "args": acted(), "workingDir": acted(), "ports": acted(),
		"envFrom": acted(), "env": acted(), "resources": acted(), "volumeMounts": acted(),
		"livenessProbe": acted(), "readinessProbe": acted(), "startupProbe": acted(), "lifecycle": acted(),
		"terminationMessagePath": acted(), "terminationMessagePolicy": acted(), "imagePullPolicy": acted(),
		"securityContext": acted(), "stdin": acted(), "stdinOnce": acted(), "tty": acted(),

		"resizePolicy":       warned("resources of a running container do not change"),
		"restartPolicy":      acted("An init container with Always is a sidecar."),
		"restartPolicyRules": acted(),
		"volumeDevices":      refused("there are no block volumes"),
	}
}
