# docker buildx bake: the image for both platforms, with a bill of materials (SPDX) and its provenance.
# Without --file, bake reads also docker-compose.yml, and builds the images of that instead.
#
#   TAG=1.0.0 REPOSITORY=registry.example/order-group-projector docker buildx bake --file docker-bake.hcl --push
#   docker buildx imagetools inspect registry.example/order-group-projector:1.0.0 --format '{{ json .SBOM }}'
variable "REPOSITORY" { default = "order-group-projector" }
variable "TAG" { default = "latest" }

target "default" {
  context    = "."
  platforms  = ["linux/amd64", "linux/arm64"]
  attest     = ["type=sbom", "type=provenance,mode=max"]
  tags       = ["${REPOSITORY}:${TAG}"]
}
