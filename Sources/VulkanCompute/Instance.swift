// The Vulkan instance: loader, validation on demand, and the list of devices.

import CVulkan
import Logging
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

package let log = Logger(label: "lora-vk")

/// Thread-safe: immutable after creation; validation messages are kept under a lock.
package final class Instance: @unchecked Sendable {
    let handle: VkInstance
    let options: DebugOptions
    let labelsEnabled: Bool
    private let messenger: VkDebugUtilsMessengerEXT?
    private let messages: ValidationMessages

    package var validationMessages: [String] { messages.all }

    package init(options: DebugOptions = .environment) throws(VulkanError) {
        _ = SoftwareDriver.prepare
        let extensions = Self.availableExtensions()
        let wantsLabels = options.validation && extensions.contains("VK_EXT_debug_utils")
        if options.validation, !Self.availableLayers().contains(Self.validationLayer) {
            throw VulkanError(
                .unsupported,
                "validation was asked for, but \(Self.validationLayer) is not installed (Debian: vulkan-validationlayers)"
            )
        }
        var enabled: [String] = wantsLabels ? ["VK_EXT_debug_utils"] : []
        let portability = extensions.contains("VK_KHR_portability_enumeration")
        if portability { enabled.append("VK_KHR_portability_enumeration") }

        var created: VkInstance?
        let result = Self.create(
            layers: options.validation ? [Self.validationLayer] : [], extensions: enabled,
            portability: portability, validation: options.validation, &created)
        if result == VK_ERROR_INCOMPATIBLE_DRIVER { throw Self.noDriver }
        try check(result, "vkCreateInstance")
        guard let created else { throw Self.noDriver }
        handle = created
        self.options = options
        labelsEnabled = wantsLabels
        messages = ValidationMessages()
        messenger = wantsLabels ? Self.makeMessenger(created, messages) : nil
    }

    deinit {
        if let messenger,
            let destroy = function(
                "vkDestroyDebugUtilsMessengerEXT", as: PFN_vkDestroyDebugUtilsMessengerEXT.self)
        {
            destroy(handle, messenger, nil)
        }
        vkDestroyInstance(handle, nil)
    }

    static let noDriver = VulkanError(
        .noDevice,
        "no Vulkan driver was found: install one for your GPU, or Mesa's software driver (Debian: mesa-vulkan-drivers)"
    )

    func physicalDevices() throws(VulkanError) -> [VkPhysicalDevice] {
        var count: UInt32 = 0
        try check(vkEnumeratePhysicalDevices(handle, &count, nil), "vkEnumeratePhysicalDevices")
        var devices = [VkPhysicalDevice?](repeating: nil, count: Int(count))
        try check(vkEnumeratePhysicalDevices(handle, &count, &devices), "vkEnumeratePhysicalDevices")
        return devices.compactMap { $0 }
    }

    func function<T>(_ name: String, as type: T.Type) -> T? {
        vkGetInstanceProcAddr(handle, name).map { unsafeBitCast($0, to: type) }
    }

    private static let validationLayer = "VK_LAYER_KHRONOS_validation"

    private static func create(
        layers: [String], extensions: [String], portability: Bool, validation: Bool,
        _ instance: inout VkInstance?
    ) -> VkResult {
        var application = VkApplicationInfo()
        application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO
        application.apiVersion = apiVersion(1, 2)
        let features = [VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT]
        return withCStrings(layers) { layerNames in
            withCStrings(extensions) { extensionNames in
                features.withUnsafeBufferPointer { features in
                    withUnsafePointer(to: &application) { application in
                        var checks = VkValidationFeaturesEXT()
                        checks.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT
                        checks.enabledValidationFeatureCount = UInt32(features.count)
                        checks.pEnabledValidationFeatures = features.baseAddress
                        return withUnsafePointer(to: &checks) { checks in
                            var info = VkInstanceCreateInfo()
                            info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO
                            info.pNext = validation ? UnsafeRawPointer(checks) : nil
                            info.flags = portability ? 1 : 0  // enumerate portability drivers (MoltenVK) too
                            info.pApplicationInfo = application
                            info.enabledLayerCount = UInt32(layerNames.count)
                            info.ppEnabledLayerNames = layerNames.baseAddress
                            info.enabledExtensionCount = UInt32(extensionNames.count)
                            info.ppEnabledExtensionNames = extensionNames.baseAddress
                            return vkCreateInstance(&info, nil, &instance)
                        }
                    }
                }
            }
        }
    }

    private static func availableExtensions() -> Set<String> {
        var count: UInt32 = 0
        vkEnumerateInstanceExtensionProperties(nil, &count, nil)
        var all = [VkExtensionProperties](repeating: VkExtensionProperties(), count: Int(count))
        vkEnumerateInstanceExtensionProperties(nil, &count, &all)
        return Set(all.map { text($0.extensionName) })
    }

    private static func availableLayers() -> Set<String> {
        var count: UInt32 = 0
        vkEnumerateInstanceLayerProperties(&count, nil)
        var all = [VkLayerProperties](repeating: VkLayerProperties(), count: Int(count))
        vkEnumerateInstanceLayerProperties(&count, &all)
        return Set(all.map { text($0.layerName) })
    }

    private static func makeMessenger(
        _ instance: VkInstance, _ messages: ValidationMessages
    ) -> VkDebugUtilsMessengerEXT? {
        guard let address = vkGetInstanceProcAddr(instance, "vkCreateDebugUtilsMessengerEXT") else {
            return nil
        }
        let create = unsafeBitCast(address, to: PFN_vkCreateDebugUtilsMessengerEXT.self)
        var info = VkDebugUtilsMessengerCreateInfoEXT()
        info.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT
        info.messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT.rawValue
            | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT.rawValue
        info.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT.rawValue
        info.pUserData = Unmanaged.passUnretained(messages).toOpaque()
        info.pfnUserCallback = { _, _, data, user in
            guard let data, let user, let message = data.pointee.pMessage else { return 0 }
            let text = String(cString: message)
            Unmanaged<ValidationMessages>.fromOpaque(user).takeUnretainedValue().append(text)
            let line = "Vulkan validation: \(text)\n"
            _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
            return 0
        }
        var messenger: VkDebugUtilsMessengerEXT?
        _ = create(instance, &info, nil, &messenger)
        return messenger
    }
}

private final class ValidationMessages: Sendable {
    private let messages = Mutex<[String]>([])
    var all: [String] { messages.withLock { $0 } }
    func append(_ message: String) { messages.withLock { $0.append(message) } }
}

func apiVersion(_ major: UInt32, _ minor: UInt32) -> UInt32 { major << 22 | minor << 12 }

/// A fixed-size C character array as a string.
func text<T>(_ tuple: T) -> String {
    withUnsafeBytes(of: tuple) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}

func withCStrings<R>(_ strings: [String], _ body: (UnsafeBufferPointer<UnsafePointer<CChar>?>) -> R) -> R {
    let copies = strings.map { strdup($0) }
    defer { for copy in copies { free(copy) } }
    return copies.map { UnsafePointer($0) }.withUnsafeBufferPointer(body)
}
