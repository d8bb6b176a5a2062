#include "tenure/tests/allocator/vulkan/fake/raw_vulkan.h"

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tenure/tests/allocator/vulkan/fake/triple_shader.h"
#include "tenure/tests/testing/vulkan_validation.h"

namespace tenure::vulkan {

static VKAPI_ATTR VkBool32 VKAPI_CALL OnMessage(VkDebugUtilsMessageSeverityFlagBitsEXT,
                                                VkDebugUtilsMessageTypeFlagsEXT,
                                                const VkDebugUtilsMessengerCallbackDataEXT* data,
                                                void* messages) {
  static_cast<std::vector<std::string>*>(messages)->push_back(data->pMessage);
  return VK_FALSE;
}

RawVulkan::RawVulkan(FakeCard& card) : get_(card.loader()) {}

RawVulkan::~RawVulkan() { Stop(); }

void RawVulkan::Stop() {
  while (!undo_.empty()) {
    const std::function<void()> undo = std::move(undo_.back());
    undo_.pop_back();
    undo();
  }
}

bool RawVulkan::Ok(VkResult result) {
  if (result_ == VK_SUCCESS && result < 0) result_ = result;
  return result >= 0;
}

VkResult RawVulkan::StartInstance() {
#define TENURE_FAKE_X(name, ...) \
  name = reinterpret_cast<PFN_vk##name>(get_(VK_NULL_HANDLE, "vk" #name));
  TENURE_FAKE_ENTRIES(TENURE_FAKE_X)
#undef TENURE_FAKE_X
  uint32_t count = 0;
  uint32_t version = 0;
  if (!Ok(EnumerateInstanceVersion(&version))) return result_;
  if (!Ok(EnumerateInstanceLayerProperties(&count, nullptr))) return result_;
  std::vector<VkLayerProperties> layers(count);
  if (!Ok(EnumerateInstanceLayerProperties(&count, layers.data()))) return result_;
  const char* const layer = "VK_LAYER_KHRONOS_validation";
  for (const VkLayerProperties& there : layers) {
    has_layer_ |= kWithValidation && std::strcmp(there.layerName, layer) == 0;
  }
  VkDebugUtilsMessengerCreateInfoEXT messenger = {};
  messenger.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT;
  messenger.messageSeverity = VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT |
                              VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
  messenger.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
  messenger.pfnUserCallback = &OnMessage;
  messenger.pUserData = &messages_;
  VkApplicationInfo application = {};
  application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
  application.apiVersion = VK_API_VERSION_1_3;
  VkInstanceCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pApplicationInfo = &application;
  const char* const utils = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
  if (has_layer_) {
    info.pNext = &messenger;
    info.enabledLayerCount = 1;
    info.ppEnabledLayerNames = &layer;
    info.enabledExtensionCount = 1;
    info.ppEnabledExtensionNames = &utils;
  }
  if (!Ok(CreateInstance(&info, nullptr, &instance))) return result_;
#define TENURE_FAKE_X(name, ...) name = reinterpret_cast<PFN_vk##name>(get_(instance, "vk" #name));
  TENURE_FAKE_ENTRIES(TENURE_FAKE_X)
#undef TENURE_FAKE_X
  Later([this] { DestroyInstance(instance, nullptr); });
  if (has_layer_) {
    VkDebugUtilsMessengerEXT made = VK_NULL_HANDLE;
    if (!Ok(CreateDebugUtilsMessengerEXT(instance, &messenger, nullptr, &made))) return result_;
    Later([this, made] { DestroyDebugUtilsMessengerEXT(instance, made, nullptr); });
  }
  return VK_SUCCESS;
}

std::vector<VkPhysicalDevice> RawVulkan::PhysicalDevices() {
  uint32_t count = 0;
  if (!Ok(EnumeratePhysicalDevices(instance, &count, nullptr))) return {};
  std::vector<VkPhysicalDevice> devices(count);
  if (!Ok(EnumeratePhysicalDevices(instance, &count, devices.data()))) return {};
  return devices;
}

VkResult RawVulkan::Start(const std::vector<const char*>& extensions) {
  if (StartInstance() != VK_SUCCESS) return result_;
  const std::vector<VkPhysicalDevice> devices = PhysicalDevices();
  if (devices.empty()) return result_;
  physical = devices[0];
  return StartDevice(extensions);
}

VkResult RawVulkan::StartDevice(const std::vector<const char*>& extensions) {
  uint32_t count = 0;
  if (!Ok(EnumerateDeviceExtensionProperties(physical, nullptr, &count, nullptr))) return result_;
  const float priority = 1;
  VkDeviceQueueCreateInfo queues = {};
  queues.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queues.queueCount = 1;
  queues.pQueuePriorities = &priority;
  VkPhysicalDeviceVulkan13Features features13 = {};
  features13.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES;
  features13.synchronization2 = VK_TRUE;
  VkPhysicalDeviceVulkan12Features features12 = {};
  features12.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES;
  features12.pNext = &features13;
  features12.timelineSemaphore = VK_TRUE;
  features12.bufferDeviceAddress = VK_TRUE;
  VkDeviceCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  info.pNext = &features12;
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queues;
  info.enabledExtensionCount = static_cast<uint32_t>(extensions.size());
  info.ppEnabledExtensionNames = extensions.data();
  if (!Ok(CreateDevice(physical, &info, nullptr, &device))) return result_;
  Later([this] { DestroyDevice(device, nullptr); });
  const auto get_device =
      reinterpret_cast<PFN_vkGetDeviceProcAddr>(get_(instance, "vkGetDeviceProcAddr"));
#define TENURE_FAKE_X(name, ...)                                                     \
  if (PFN_vkVoidFunction found = get_device(device, "vk" #name); found != nullptr) { \
    name = reinterpret_cast<PFN_vk##name>(found);                                    \
  }
  TENURE_FAKE_ENTRIES(TENURE_FAKE_X)
#undef TENURE_FAKE_X
  GetDeviceQueue(device, 0, 0, &queue);

  VkCommandPoolCreateInfo pool_info = {};
  pool_info.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  pool_info.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  if (!Ok(CreateCommandPool(device, &pool_info, nullptr, &pool))) return result_;
  Later([this] { DestroyCommandPool(device, pool, nullptr); });
  VkSemaphoreTypeCreateInfo type = {};
  type.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO;
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  VkSemaphoreCreateInfo semaphore = {};
  semaphore.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
  semaphore.pNext = &type;
  if (!Ok(CreateSemaphore(device, &semaphore, nullptr, &timeline))) return result_;
  Later([this] { DestroySemaphore(device, timeline, nullptr); });
  return VK_SUCCESS;
}

VkBuffer RawVulkan::NewBuffer(uint64_t size) {
  VkBufferCreateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = size;
  info.usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT |
               VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT |
               VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT;
  VkBuffer buffer = VK_NULL_HANDLE;
  if (!Ok(CreateBuffer(device, &info, nullptr, &buffer))) return VK_NULL_HANDLE;
  Later([this, buffer] { DestroyBuffer(device, buffer, nullptr); });
  return buffer;
}

VkResult RawVulkan::Allocate(uint32_t type, uint64_t size, VkDeviceMemory* out, const void* next) {
  VkMemoryAllocateFlagsInfo flags = {};
  flags.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO;
  flags.flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT;
  flags.pNext = next;
  VkMemoryAllocateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  info.pNext = &flags;
  info.allocationSize = size;
  info.memoryTypeIndex = type;
  return AllocateMemory(device, &info, nullptr, out);
}

RawVulkan::Piece RawVulkan::NewPiece(uint32_t type, uint64_t size) {
  Piece piece;
  piece.buffer = NewBuffer(size);
  if (piece.buffer == VK_NULL_HANDLE) return {};
  VkMemoryRequirements needs = {};
  GetBufferMemoryRequirements(device, piece.buffer, &needs);
  VkDeviceMemory memory = VK_NULL_HANDLE;
  if (!Ok(Allocate(type, needs.size, &memory))) return {};
  Later([this, memory] { FreeMemory(device, memory, nullptr); });
  piece.memory = memory;
  if (!Ok(BindBufferMemory(device, piece.buffer, memory, 0))) return {};
  VkPhysicalDeviceMemoryProperties properties = {};
  GetPhysicalDeviceMemoryProperties(physical, &properties);
  if ((properties.memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT) != 0) {
    void* bytes = nullptr;
    if (!Ok(MapMemory(device, memory, 0, VK_WHOLE_SIZE, 0, &bytes))) return {};
    piece.bytes = static_cast<std::byte*>(bytes);
  }
  return piece;
}

VkCommandBuffer RawVulkan::NewCommands(const std::function<void(VkCommandBuffer)>& record) {
  VkCommandBufferAllocateInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  info.commandPool = pool;
  info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  info.commandBufferCount = 1;
  VkCommandBuffer commands = VK_NULL_HANDLE;
  if (!Ok(AllocateCommandBuffers(device, &info, &commands))) return VK_NULL_HANDLE;
  VkCommandBufferBeginInfo begin = {};
  begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
  if (!Ok(BeginCommandBuffer(commands, &begin))) return VK_NULL_HANDLE;
  record(commands);
  // What was written is there for every later access.
  VkMemoryBarrier barrier = {};
  barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
  barrier.srcAccessMask = VK_ACCESS_MEMORY_WRITE_BIT;
  barrier.dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT;
  CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_ALL_COMMANDS_BIT,
                     VK_PIPELINE_STAGE_ALL_COMMANDS_BIT | VK_PIPELINE_STAGE_HOST_BIT, 0, 1,
                     &barrier, 0, nullptr, 0, nullptr);
  if (!Ok(EndCommandBuffer(commands))) return VK_NULL_HANDLE;
  return commands;
}

VkCommandBuffer RawVulkan::NewCopy(const Piece& from, const Piece& to, uint64_t size) {
  return NewCommands([&](VkCommandBuffer commands) {
    const VkBufferCopy region = {0, 0, size};
    CmdCopyBuffer(commands, from.buffer, to.buffer, 1, &region);
  });
}

VkResult RawVulkan::Submit(VkCommandBuffer commands, uint64_t value, VkFence fence) {
  VkTimelineSemaphoreSubmitInfo values = {};
  values.sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO;
  values.signalSemaphoreValueCount = 1;
  values.pSignalSemaphoreValues = &value;
  VkSubmitInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
  info.pNext = &values;
  info.commandBufferCount = 1;
  info.pCommandBuffers = &commands;
  info.signalSemaphoreCount = 1;
  info.pSignalSemaphores = &timeline;
  return QueueSubmit(queue, 1, &info, fence);
}

VkResult RawVulkan::Wait(uint64_t value, uint64_t timeout_ns) {
  VkSemaphoreWaitInfo info = {};
  info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
  info.semaphoreCount = 1;
  info.pSemaphores = &timeline;
  info.pValues = &value;
  return WaitSemaphores(device, &info, timeout_ns);
}

uint64_t RawVulkan::Value() {
  uint64_t value = 0;
  Ok(GetSemaphoreCounterValue(device, timeline, &value));
  return value;
}

VkCommandBuffer RawVulkan::NewDispatch(const Piece& piece, uint32_t groups) {
  VkShaderModuleCreateInfo code = {};
  code.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
  code.codeSize = sizeof(kTripleShader);
  code.pCode = kTripleShader;
  VkShaderModule shader = VK_NULL_HANDLE;
  if (!Ok(CreateShaderModule(device, &code, nullptr, &shader))) return VK_NULL_HANDLE;
  Later([this, shader] { DestroyShaderModule(device, shader, nullptr); });

  VkDescriptorSetLayoutBinding binding = {0, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1,
                                          VK_SHADER_STAGE_COMPUTE_BIT, nullptr};
  VkDescriptorSetLayoutCreateInfo layout_info = {};
  layout_info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
  layout_info.bindingCount = 1;
  layout_info.pBindings = &binding;
  VkDescriptorSetLayout set_layout = VK_NULL_HANDLE;
  if (!Ok(CreateDescriptorSetLayout(device, &layout_info, nullptr, &set_layout))) {
    return VK_NULL_HANDLE;
  }
  Later([this, set_layout] { DestroyDescriptorSetLayout(device, set_layout, nullptr); });

  VkPipelineLayoutCreateInfo pipeline_layout_info = {};
  pipeline_layout_info.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
  pipeline_layout_info.setLayoutCount = 1;
  pipeline_layout_info.pSetLayouts = &set_layout;
  VkPipelineLayout layout = VK_NULL_HANDLE;
  if (!Ok(CreatePipelineLayout(device, &pipeline_layout_info, nullptr, &layout))) {
    return VK_NULL_HANDLE;
  }
  Later([this, layout] { DestroyPipelineLayout(device, layout, nullptr); });

  VkComputePipelineCreateInfo pipeline_info = {};
  pipeline_info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
  pipeline_info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  pipeline_info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  pipeline_info.stage.module = shader;
  pipeline_info.stage.pName = "main";
  pipeline_info.layout = layout;
  VkPipeline pipeline = VK_NULL_HANDLE;
  if (!Ok(CreateComputePipelines(device, VK_NULL_HANDLE, 1, &pipeline_info, nullptr, &pipeline))) {
    return VK_NULL_HANDLE;
  }
  Later([this, pipeline] { DestroyPipeline(device, pipeline, nullptr); });

  const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, 1};
  VkDescriptorPoolCreateInfo pool_info = {};
  pool_info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
  pool_info.maxSets = 1;
  pool_info.poolSizeCount = 1;
  pool_info.pPoolSizes = &size;
  VkDescriptorPool sets = VK_NULL_HANDLE;
  if (!Ok(CreateDescriptorPool(device, &pool_info, nullptr, &sets))) return VK_NULL_HANDLE;
  Later([this, sets] { DestroyDescriptorPool(device, sets, nullptr); });
  VkDescriptorSetAllocateInfo set_info = {};
  set_info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
  set_info.descriptorPool = sets;
  set_info.descriptorSetCount = 1;
  set_info.pSetLayouts = &set_layout;
  VkDescriptorSet set = VK_NULL_HANDLE;
  if (!Ok(AllocateDescriptorSets(device, &set_info, &set))) return VK_NULL_HANDLE;
  const VkDescriptorBufferInfo range = {piece.buffer, 0, VK_WHOLE_SIZE};
  VkWriteDescriptorSet write = {};
  write.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
  write.dstSet = set;
  write.descriptorCount = 1;
  write.descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
  write.pBufferInfo = &range;
  UpdateDescriptorSets(device, 1, &write, 0, nullptr);

  return NewCommands([&](VkCommandBuffer commands) {
    CmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    CmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1, &set, 0, nullptr);
    CmdDispatch(commands, groups, 1, 1);
  });
}

}  // namespace tenure::vulkan
