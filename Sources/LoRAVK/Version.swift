/// Of LoRA-VK; `LORAVK_VERSION_…` of loravk.h are the same.
package let version = "0.1.0"
