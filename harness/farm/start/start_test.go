package start

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const url = `tls://se"cret@farm:4223?cert=ab`

// documents writes a manifest and splits it.
func documents(t *testing.T, k K8s) []string {
	t.Helper()
	var out bytes.Buffer
	if err := k.Write(&out, url); err != nil {
		t.Fatal(err)
	}
	return strings.Split(out.String(), "---\n")
}

// checkPod holds what every worker's pod must have.
func checkPod(t *testing.T, p *corev1.PodSpec, kvm string) {
	t.Helper()
	c := p.Containers[0]
	own := c.SecurityContext
	if !*p.SecurityContext.RunAsNonRoot || *own.AllowPrivilegeEscalation || own.Privileged != nil ||
		*p.AutomountServiceAccountToken || len(own.Capabilities.Drop) != 1 {
		t.Errorf("the pod has privileges: %+v, %+v", p.SecurityContext, c.SecurityContext)
	}
	if c.Args[0] != "worker" || c.Env[0].Name != "TOKENTEST_FARM" || c.Env[0].ValueFrom.SecretKeyRef.Key != "url" {
		t.Errorf("got %v, %+v", c.Args, c.Env)
	}
	n := c.Resources.Limits[corev1.ResourceName(kvm)]
	if has := n.Value() == 1; has != (kvm != "") {
		t.Errorf("%s: %v", kvm, c.Resources.Limits)
	}
	for _, v := range p.Volumes {
		if v.HostPath != nil {
			t.Errorf("the volume %s is of the host", v.Name)
		}
	}
}

func TestJob(t *testing.T) {
	docs := documents(t, K8s{Workers: 20, Image: "registry.example/tokentest:1", KVM: "devices.kubevirt.io/kvm"})
	var s corev1.Secret
	var j batchv1.Job
	if err := yaml.UnmarshalStrict([]byte(docs[0]), &s); err != nil || s.StringData["url"] != url {
		t.Errorf("the secret: %v, %v", s, err)
	}
	if err := yaml.UnmarshalStrict([]byte(docs[1]), &j); err != nil {
		t.Fatal(err)
	}
	if *j.Spec.CompletionMode != batchv1.IndexedCompletion || *j.Spec.Completions != 20 ||
		*j.Spec.BackoffLimitPerIndex != 2 || *j.Spec.PodReplacementPolicy != batchv1.Failed ||
		j.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyNever {
		t.Errorf("got %+v", j.Spec)
	}
	var other batchv1.Job // kubectl apply makes one only of a name that is not there yet
	again := documents(t, K8s{Workers: 20, Image: "tokentest"})
	if err := yaml.UnmarshalStrict([]byte(again[1]), &other); err != nil {
		t.Fatal(err)
	}
	if j.GenerateName != "" || !strings.HasPrefix(j.Name, "tokentest-worker-") || j.Name == other.Name {
		t.Errorf("the jobs are called %q and %q", j.Name, other.Name)
	}
	if c := j.Spec.Template.Spec.Containers[0]; c.Args[len(c.Args)-1] != "--drain" {
		t.Errorf("the workers of a job do not end: %v", c.Args)
	}
	checkPod(t, &j.Spec.Template.Spec, "devices.kubevirt.io/kvm")
}

func TestDeployment(t *testing.T) {
	docs := documents(t, K8s{Workers: 3, Image: "tokentest", Stay: true})
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict([]byte(docs[1]), &d); err != nil {
		t.Fatal(err)
	}
	if *d.Spec.Replicas != 3 || d.Spec.Selector.MatchLabels["app"] != d.Spec.Template.Labels["app"] ||
		d.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyAlways {
		t.Errorf("got %+v", d.Spec)
	}
	checkPod(t, &d.Spec.Template.Spec, "")
}

// The strict decoding notices a member that there is not.
func TestStrict(t *testing.T) {
	docs := documents(t, K8s{Workers: 1})
	bad := strings.Replace(docs[1], "parallelism:", "paralelism:", 1)
	if err := yaml.UnmarshalStrict([]byte(bad), &batchv1.Job{}); err == nil {
		t.Error("no error")
	}
}

func TestSlurm(t *testing.T) {
	var out bytes.Buffer
	s := Slurm{Workers: 3, Time: "01:00:00", Partition: "kvm", Program: "/opt/token test"}
	if err := s.Write(&out, url); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"#!/bin/bash\n", "\n#SBATCH --array=1-3\n", "\n#SBATCH --requeue\n",
		"\n#SBATCH --partition=kvm\n", "\n#SBATCH --time=01:00:00\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	c := exec.Command("bash", "-n")
	c.Stdin = bytes.NewReader(out.Bytes())
	if text, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, text)
	}
	for _, bad := range []Slurm{{Workers: 0}, {Workers: 1, Time: "1 2"}, {Workers: maxWorkers + 1}} {
		if err := bad.Write(&out, url); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}
