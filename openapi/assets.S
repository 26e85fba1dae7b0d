/* The API description, carried in the binary (openapi/assets.h). Include paths: the root and build/<variant>/gen. */
	.section .rodata
	.balign 8
	.global openapi_yaml
	.type openapi_yaml, %object
openapi_yaml:
	.incbin "openapi/openapi.yaml"
openapi_yaml_end:
	.byte 0
	.size openapi_yaml, . - openapi_yaml

	.balign 8
	.global openapi_json
	.type openapi_json, %object
openapi_json:
	.incbin "openapi.json"
openapi_json_end:
	.byte 0
	.size openapi_json, . - openapi_json

	.balign 8
	.global openapi_yaml_len
	.type openapi_yaml_len, %object
openapi_yaml_len:
	.quad openapi_yaml_end - openapi_yaml
	.size openapi_yaml_len, 8
	.global openapi_json_len
	.type openapi_json_len, %object
openapi_json_len:
	.quad openapi_json_end - openapi_json
	.size openapi_json_len, 8

	.section .note.GNU-stack, "", %progbits
